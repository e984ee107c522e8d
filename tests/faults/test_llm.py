"""Faults 49 to 58: a language model that is busy, dead, slow, broken, wrong or misled, in whole studies."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.journal import events as ev
from core.study.launch import Outcome, read_facts
from support import QUICK, overnight
from witness import events, lost, processes_of, repeated

_STUB = Path(__file__).parents[2] / "plugins" / "llm" / "tests" / "openai_stub.py"
if "openai_stub" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("openai_stub", _STUB)
    assert _spec is not None and _spec.loader is not None
    sys.modules["openai_stub"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["openai_stub"])
from openai_stub import Say, Stub, valid  # noqa: E402

TIMEOUT_S, TOTAL_S = 10.0, 20.0
IMPATIENT = {"timeout_s": 1.0, "total_s": 2.0}
_LOAD_S = 60.0  # importing litellm, at most once or twice in a study, on a machine as busy as this one may be


class Asking:
    """Runs quick studies whose policy asks a scripted server."""

    def __init__(self, run: Callable[..., Outcome], stack: ExitStack, tally: Any) -> None:
        self._run, self._stack, self._tally = run, stack, tally
        self.stub: Stub

    def study(self, *script: Say, always: Say | None = None, trials: int = 3, task: Any = None, **policy: Any) -> Any:
        """The outcome of a study that has to finish, with every trial ended and the bounds kept."""
        self.stub = self._stack.enter_context(Stub(script, always))
        node = {
            "name": "llm", "model": "openai/stub", "api_base": self.stub.url, "fallback": {"name": "random"},
            "timeout_s": TIMEOUT_S, "total_s": TOTAL_S, "tries": 3, "default_first": False,
            "usd_per_mtok_in": 1.0, "usd_per_mtok_out": 10.0, **policy,
        }  # fmt: skip
        outcome = self._run(
            f"study{len(list(self._stack._exit_callbacks))}", policy=node, budget={"trials": trials, "usd": 1.0},
            executor={"name": "local", "slots": 1}, task={"name": "quadratic", **(task or {})},
        )  # fmt: skip
        assert outcome.exit_code == 0, outcome.error
        study, tally = outcome.facts.study, self._tally
        tally.injected += len(self.stub.requests)
        tally.lost += trials + 1 - sum(trial.status in ("completed", "failed") for trial in study.trials)
        tally.overspent += max(0.0, study.usd - 1.0) + max(0.0, study.seconds - _LOAD_S - node["total_s"] - 5 * trials)
        recorded = events(study.directory)
        opened = {e.token for e in recorded if isinstance(e, ev.BudgetReserved) and e.trial is None}
        closed = [e.token for e in recorded if isinstance(e, ev.BudgetSettled) and e.trial is None]
        assert sorted(closed) == sorted(opened), "every reservation is settled once"
        return study


@pytest.fixture
def asking(run: Callable[..., Outcome], tally: Any) -> Iterator[Asking]:
    with ExitStack() as stack:
        yield Asking(run, stack, tally)


def by(study: Any) -> list[str]:
    """Who proposed each trial: "llm" or "fallback random"."""
    return [trial.proposal.rationale.partition(":")[0] for trial in study.trials[1:]]


@pytest.mark.fault(49, "429 with and without Retry-After", "asked again, then the fallback, and it is said")
def test_429(asking: Asking) -> None:
    study = asking.study(Say(status=429), Say(status=429, retry_after="0.3"), trials=1)
    assert by(study) == ["llm"] and "3 calls" in study.trials[1].proposal.rationale
    study = asking.study(always=Say(status=429, retry_after="3600"), trials=2)
    assert by(study) == ["fallback random"] * 2
    assert len(asking.stub.requests) <= 2, "an hour is not waited for"


@pytest.mark.slow
@pytest.mark.fault(50, "500 from the model's server", "asked again, then the fallback, and it is said")
def test_500(asking: Asking) -> None:
    study = asking.study(always=Say(status=500), trials=2)
    assert by(study) == ["fallback random"] * 2
    assert "unreachable" in study.trials[1].proposal.rationale
    assert study.usd == 0, "an error costs nothing"


@pytest.mark.slow
@pytest.mark.fault(51, "the model's server hangs", "left after timeout_s, then left alone")
def test_hang(asking: Asking) -> None:
    study = asking.study(always=Say(hang=300), **IMPATIENT)
    assert by(study) == ["fallback random"] * 3
    assert len(asking.stub.requests) == 1, "the next trials are not held up"
    assert 0 < study.usd < 0.1, "what it may have cost is counted"


@pytest.mark.slow
@pytest.mark.fault(51, "the model's server hangs", "left after timeout_s, then left alone")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_controller_that_ends_while_it_asks(tmp_path: Path, tally: Any, number: int, code: int) -> None:
    directory = tmp_path / "study"
    with Stub([Say(hang=300)]) as stub:
        controller = subprocess.Popen(
            [
                sys.executable, "-m", "core", *QUICK, "policy=llm", "policy.model=openai/stub",
                f"policy.api_base={stub.url}", "policy.timeout_s=250", "policy.total_s=250",
                "policy.default_first=false", "policy.usd_per_mtok_in=1", "policy.usd_per_mtok_out=10",
                "budget.usd=1", "budget.trials=2", f"dir={directory}",
            ],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 120
        while not stub.requests:
            assert controller.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        family = psutil.Process(controller.pid).children(recursive=True)
        assert family, "litellm has a process of its own"
        controller.send_signal(number)
        assert controller.wait(timeout=30) == code
        alive = psutil.wait_procs(family, timeout=15)[1]
        resumed = overnight("resume", directory, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    study = read_facts(directory).study
    assert by(study) == ["llm", "llm"]
    assert 0.01 < study.usd < 1, "the call that nobody heard the answer to counts in full"
    tally.injected += 1
    tally.orphaned += len(alive) + len(list(processes_of(directory)))
    tally.lost += lost(directory, 2)
    tally.repeated += repeated(directory)


@pytest.mark.slow
@pytest.mark.fault(52, "an answer that drips in byte by byte", "left after timeout_s, then left alone")
def test_slow_drip(asking: Asking) -> None:
    study = asking.study(always=Say(valid, drip=0.05), **IMPATIENT)
    assert by(study) == ["fallback random"] * 3
    assert len(asking.stub.requests) == 1


@pytest.mark.fault(53, "the connection drops in mid-answer", "asked again")
def test_drop(asking: Asking) -> None:
    study = asking.study(Say(drop=True), Say(valid, cut=True), trials=1)
    assert by(study) == ["llm"]
    assert study.usd > 0.08, "two calls of unknown cost, in full"


@pytest.mark.slow
@pytest.mark.fault(54, "garbage, truncated JSON, ten megabytes", "sent back twice, then the fallback")
def test_garbage(asking: Asking) -> None:
    bad = [Say('{"proposals": [{"params": {"x": 0.'), Say("I think x should be small."), Say("{" * 10_000_000)]
    study = asking.study(*bad, Say(raw=b"\x00\xff"), Say("[[[[1"), Say("null"), Say('{"proposals": NaN}'), trials=2)
    assert by(study) == ["fallback random"] * 2
    assert "bad answer" in study.trials[1].proposal.rationale


@pytest.mark.fault(55, "values out of range or of a wrong type", "never run; sent back with the reason")
def test_out_of_range(asking: Asking) -> None:
    study = asking.study(*(Say(_answer(x=x)) for x in (1e9, "1e-3")), Say(_answer(x=0.25)), trials=1)
    assert study.trials[1].proposal.params["x"] == 0.25
    assert "outside -2 … 2" in asking.stub.prompts[1] and "is not a number" in asking.stub.prompts[2]


@pytest.mark.slow
@pytest.mark.fault(56, "the same proposal for ever", "run once, then the fallback")
def test_repeats(asking: Asking) -> None:
    study = asking.study(always=Say(_answer(x=0.25)))
    assert by(study) == ["llm", "fallback random", "fallback random"]
    assert "trial 1 tried this already" in asking.stub.prompts[-1]
    assert len({json.dumps(trial.proposal.params) for trial in study.trials[1:]}) == 3


@pytest.mark.fault(57, "a prompt injection in a training log", "it reaches the model as fenced data only")
def test_injection(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_KEY", "sk-injected-0123456789")
    script = [Say(_answer(x=x)) for x in (1.7, -0.4, 0.3)]
    study = asking.study(*script, task={"fault": "raise", "fault_above": 1.0}, api_key_env="STUB_KEY")
    assert [trial.status for trial in study.trials[1:]] == ["failed", "completed", "completed"]
    for prompt in asking.stub.prompts[1:]:
        fenced = prompt.partition("<untrusted_data>")[2].partition("</untrusted_data>")
        assert "the gradient went" in fenced[0] and "the gradient went" not in fenced[2] and "\x1b" not in prompt
    told = "".join(asking.stub.prompts) + (study.directory / "lessons.md").read_text()
    written = b"".join(path.read_bytes() for path in study.directory.rglob("*") if path.is_file())
    assert "sk-injected" not in told and b"sk-injected" not in written


@pytest.mark.slow
@pytest.mark.fault(58, "a model whose price is not known", "counted at a configured ceiling, within the budget")
def test_unknown_price(asking: Asking) -> None:
    unknown = {"usd_per_mtok_in": None, "usd_per_mtok_out": None}
    study = asking.study(trials=2, unknown_usd_per_mtok=100.0, **unknown)
    assert study.usd == pytest.approx(2 * 1200 * 100 / 1e6)
    study = asking.study(trials=2, unknown_usd_per_mtok=10_000.0, **unknown)
    assert by(study) == ["fallback random"] * 2 and not asking.stub.requests and study.usd == 0
    assert "budget" in study.trials[1].proposal.rationale
    asking._tally.injected += 1


def _answer(**params: Any) -> str:
    return json.dumps({"proposals": [{"params": {"k": 3, **params}, "rationale": "why not"}], "lessons": []})
