"""The client against a provider that misbehaves by script: an outcome within its bounds, and money that adds up."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from openai_stub import Say, Stub

from core import BudgetSpent, SetupError
from overnight_llm import Client, LlmSettings, Rejected, json_object

ASK = [{"role": "user", "content": "Which?"}]
GOOD = '{"lr": 0.1}'
KEY = "sk-very-secret-0123456789"


class Purse:
    """Notes what is reserved and settled. limit: US dollars; closes itself after `close_after_s`."""

    def __init__(self, limit: float = 1e9) -> None:
        self.limit, self.reserved, self.settled, self.closed = limit, [], [], False

    def reserve(self, usd: float, purpose: str) -> str:
        if sum(self.settled) + usd > self.limit:
            raise BudgetSpent(f"{purpose}: nothing is left")
        self.reserved.append(usd)
        return str(len(self.reserved))

    def settle(self, receipt: str, usd: float) -> None:
        assert receipt == str(len(self.reserved)), "each is settled before the next is reserved"
        self.settled.append(usd)


@pytest.fixture
def serve() -> Iterator[Callable[..., Stub]]:
    with ExitStack() as stack:
        yield lambda *script, always=None: stack.enter_context(Stub(script, always))


def client(stub: Stub | None, **more: Any) -> Client:
    base = stub.url if stub else "http://127.0.0.1:9/v1"
    bounds = {"timeout_s": 1.5, "total_s": 6.0, "usd_per_mtok_in": 1.0, "usd_per_mtok_out": 10.0}
    return Client(LlmSettings(**{"model": "openai/stub", "api_base": base, **bounds, **more}))


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """litellm is loaded once, before anything is timed."""
    with Stub(always=Say(GOOD)) as stub:
        assert client(stub, timeout_s=60, total_s=60).ask(ASK, json_object).value == {"lr": 0.1}


def test_an_answer_is_checked_paid_for_and_returned(serve: Any) -> None:
    purse, stub = Purse(), serve(Say(GOOD))
    found = client(stub).ask(ASK, json_object, schema={"type": "object"}, seed=5, purse=purse)
    assert (found.value, found.kind, found.problem, found.calls) == ({"lr": 0.1}, "answered", "", 1)
    assert purse.settled == [pytest.approx((1000 * 1.0 + 200 * 10.0) / 1e6)] == [pytest.approx(found.usd)]
    assert purse.reserved[0] >= (len("Which?") * 1.0 + 4096 * 10.0) / 1e6, "the worst case"
    assert stub.requests[0]["seed"] == 5
    assert stub.requests[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("say", "free"),
    [
        (Say(status=429), True),
        (Say(status=429, retry_after="0.2"), True),
        (Say(status=429, retry_after="Wed, 21 Oct 2065 07:28:00 GMT"), True),
        (Say(status=500), True),
        (Say(status=503, retry_after="0.2"), True),
        (Say(drop=True), False),
        (Say(GOOD, cut=True), False),
        (Say(raw=b"<html>busy</html>"), False),
        (Say(raw=b'{"choices": []}'), False),
        (Say(raw=b"\xff\xfe\x00garbage"), False),
    ],
    ids=["429", "429 seconds", "429 date", "500", "503", "drop", "cut", "html", "no choices", "binary"],
)
def test_a_passing_fault_is_tried_again(serve: Any, say: Say, free: bool) -> None:
    purse, stub = Purse(), serve(say, Say(GOOD))
    found = client(stub).ask(ASK, json_object, purse=purse)
    assert found.value == {"lr": 0.1} and found.calls == 2
    assert purse.settled[0] == (0.0 if free else purse.reserved[0]), "what nobody knows is spent in full"
    if say.retry_after == "0.2":
        assert stub.times[1] - stub.times[0] >= 0.2


@pytest.mark.parametrize("say", [Say(status=429), Say(status=500), Say(drop=True)], ids=["429", "500", "drop"])
def test_a_lasting_fault_ends_in_an_outcome_after_a_few_tries(serve: Any, say: Say) -> None:
    stub = serve(always=say)
    found = client(stub, tries=3).ask(ASK, json_object)
    assert (found.value, found.kind) == (None, "unreachable") and found.problem
    assert len(stub.requests) == 3 and found.seconds < 3


def test_a_retry_after_beyond_the_bound_is_not_waited_for(serve: Any) -> None:
    found = client(serve(Say(status=429, retry_after="3600"))).ask(ASK, json_object)
    assert found.kind == "unreachable" and found.seconds < 1 and "total_s" in found.problem


def test_total_s_holds_over_all_retries(serve: Any) -> None:
    found = client(serve(always=Say(status=503, retry_after="0.4")), tries=99, total_s=1.5).ask(ASK, json_object)
    assert found.kind == "unreachable" and found.seconds < 2.5


def test_ten_megabytes_are_refused_with_the_reason(serve: Any) -> None:
    stub = serve(Say("x" * 10_000_000), Say(GOOD))
    found = client(stub, timeout_s=20, total_s=30).ask(ASK, json_object)
    assert found.value == {"lr": 0.1} and found.corrections == 1
    assert "10,000,000" in stub.prompts[1] and len(stub.prompts[1]) < 6000, "it is not sent back whole"


def test_a_bad_answer_is_sent_back_with_the_reason_at_most_twice(serve: Any) -> None:
    def picky(text: str) -> None:
        raise Rejected(f"{text} is not what was asked for")

    purse, stub = Purse(), serve(Say("one"), Say("two"), Say("three"), Say("four"))
    found = client(stub).ask(ASK, picky, purse=purse)
    assert (found.kind, found.corrections, found.calls) == ("bad answer", 2, 3)
    assert "three is not what was asked for" in found.problem
    assert "one is not what was asked for" in stub.prompts[1] and "two is not" in stub.prompts[2]
    assert len(purse.settled) == 3 and sum(purse.settled) == pytest.approx(found.usd)


def test_halves_of_surrogate_pairs_are_replaced_before_anything_is_sent(serve: Any) -> None:
    stub = serve(Say("cut \ud83d"), Say(GOOD))
    found = client(stub).ask([{"role": "user", "content": "Which \udc00?"}], json_object)
    assert found.value == {"lr": 0.1} and found.corrections == 1
    assert stub.prompts[0] == "Which \ufffd?" and "cut \ufffd" in stub.prompts[1]


def test_an_answer_cut_off_at_max_tokens_is_said_to_be(serve: Any) -> None:
    stub = serve(Say('{"lr": ', finish="length"), Say(GOOD))
    assert client(stub).ask(ASK, json_object).value == {"lr": 0.1}
    assert "max_tokens" in stub.prompts[1]


def test_a_schema_that_is_refused_is_left_out_from_then_on(serve: Any) -> None:
    stub = serve(Say(status=400), always=Say(GOOD))
    asking = client(stub)
    for _ in range(2):
        assert asking.ask(ASK, json_object, schema={"type": "object"}).value == {"lr": 0.1}
    assert ["response_format" in body for body in stub.requests] == [True, False, False]


def test_a_wrong_key_is_not_tried_again_and_not_shown(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    raw = f'{{"error": {{"message": "Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}}}'.encode()
    stub = serve(always=Say(status=401, raw=raw))
    found = client(stub, api_key_env="MY_KEY").ask(ASK, json_object)
    assert found.kind == "refused" and found.calls == 1
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(found) and "[key]" in found.problem
    assert KEY not in stub.prompts[0]


def test_fallback_models_are_asked_in_turn_and_it_is_said(serve: Any) -> None:
    down, up = serve(always=Say(status=500)), serve(Say(GOOD))
    other = {"model": "openai/other", "api_base": up.url}
    found = client(down, tries=1, fallback_models=[other]).ask(ASK, json_object)
    assert found.value == {"lr": 0.1} and found.model == "openai/other"
    assert any("openai/stub did not answer" in text for text in found.notices)


def test_a_dead_endpoint_is_left_alone_for_a_while() -> None:
    asking = client(None, tries=2)
    first, second = (asking.ask(ASK, json_object) for _ in range(2))
    assert (first.kind, second.kind) == ("unreachable", "resting")
    assert first.seconds < 3 and second.seconds < 0.1 and second.calls == 0


def test_nothing_is_sent_that_the_budget_does_not_cover(serve: Any) -> None:
    stub, purse = serve(), Purse(limit=0.001)
    found = client(stub).ask(ASK, json_object, purse=purse, purpose="a test")
    assert found.kind == "budget" and "a test" in found.problem
    assert not stub.requests and not purse.settled


@pytest.mark.parametrize(
    ("more", "per_mtok"), [({}, 0.0), ({"unknown_usd_per_mtok": 7.0}, 7.0)], ids=["own server", "ceiling"]
)
def test_an_unknown_price_is_counted_at_the_ceiling_and_said_once(serve: Any, more: Any, per_mtok: float) -> None:
    asking = client(serve(always=Say(GOOD)), usd_per_mtok_in=None, usd_per_mtok_out=None, **more)
    first, second = (asking.ask(ASK, json_object) for _ in range(2))
    assert first.usd == pytest.approx(1200 * per_mtok / 1e6)
    assert "price" in first.notices[0] and not second.notices


def test_a_known_price_comes_from_litellms_table(serve: Any) -> None:
    asking = client(serve(Say(GOOD)), model="openai/gpt-4o-mini", usd_per_mtok_in=None, usd_per_mtok_out=None)
    assert 0 < asking.ask(ASK, json_object).usd < 0.01


def test_an_answer_without_usage_costs_the_worst_case(serve: Any) -> None:
    purse = Purse()
    client(serve(Say(GOOD, usage=False))).ask(ASK, json_object, purse=purse)
    assert purse.settled[0] > 0


@pytest.mark.parametrize("say", [Say(hang=60), Say(GOOD, drip=0.1)], ids=["hang", "slow drip"])
def test_a_server_that_never_finishes_is_left_after_timeout_s(serve: Any, say: Say) -> None:
    purse = Purse()
    found = client(serve(always=say)).ask(ASK, json_object, purse=purse)
    assert found.kind == "unreachable" and found.calls == 1
    assert found.seconds < 1.5 + 2
    assert purse.settled == purse.reserved


def test_a_study_that_stops_is_not_kept_waiting(serve: Any) -> None:
    purse = Purse()
    threading.Timer(0.3, lambda: setattr(purse, "closed", True)).start()
    began = time.monotonic()
    found = client(serve(always=Say(hang=60)), timeout_s=60, total_s=60).ask(ASK, json_object, purse=purse)
    assert found.kind == "stopping" and time.monotonic() - began < 15
    assert purse.settled == purse.reserved


def test_what_is_missing_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match=r"policy\.model"):
        Client(LlmSettings())
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(SetupError, match="NO_SUCH_KEY"):
        Client(LlmSettings(model="openai/x", api_key_env="NO_SUCH_KEY"))
