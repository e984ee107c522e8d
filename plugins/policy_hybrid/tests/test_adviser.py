"""The language model of `hybrid`: asked over the real protocol, on a server of this test's own."""

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core import InvalidParams, Policy, Program, SetupError
from core.plugins import discover
from core.testing.trials import SPACES, scored, view

NUMBERS = SPACES["numbers"]
GOOD = {"x": 0.7, "y": 0.1, "k": 7}


class _Server(ThreadingHTTPServer):
    """Answers each chat completion with the next of `answers`, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[str] = []
        self.asked: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = self.server.answers
        said = answers[min(len(self.server.asked), len(answers) - 1)]
        self.server.asked.append(asked)
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[_Server]:
    found = _Server()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def make(base: str, **options: Any) -> Policy:
    llm = {"model": "openai/m", "api_base": base, "total_s": 20.0, "tries": 1}
    return discover().build("policy", {"name": "hybrid", "llm": llm, **options})


def proposals(*points: dict[str, Any]) -> str:
    return json.dumps({"proposals": [{"params": point, "rationale": "because"} for point in points]})


def after_the_default() -> Any:
    return view(NUMBERS, [scored(1, 0.2, NUMBERS.defaults())])


@pytest.mark.slow
def test_points_of_the_language_model_are_prior_points_and_repeats_are_refused(server: _Server) -> None:
    server.answers = ["I think so", proposals(NUMBERS.defaults(), GOOD)]
    policy = make(f"http://127.0.0.1:{server.server_port}/v1")
    where = after_the_default()
    found = policy.ask(where, 1)
    assert found[0].params == GOOD
    assert found[0].rationale.startswith("llm: because; ")
    assert found[0].rationale.endswith("; a point of the language model was refused: it was tried before")
    assert policy.ask(where, 1) == found, "the same question is asked once"
    assert len(server.asked) == 2
    assert "accuracy" in server.asked[0]["messages"][1]["content"]


@pytest.mark.slow
def test_a_dead_language_model_costs_seconds_and_the_sampler_proposes() -> None:
    found = make("http://127.0.0.1:9/v1").ask(after_the_default(), 1)[0]
    assert found.rationale.startswith("draw: 1 scored trials")
    assert "the language model gave no point (unreachable" in found.rationale


def test_wrong_settings_of_the_language_model_are_refused_at_once() -> None:
    with pytest.raises(SetupError, match=r"policy\.llm\.modle"):
        discover().build("policy", {"name": "hybrid", "llm": {"modle": "openai/m"}})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("nothing", "no complete JSON object"),
        ("{}", 'no list "proposals"'),
        ('{"proposals": [1]}', 'needs an object "params"'),
        (proposals({**GOOD, "k": 99}), "99 is outside"),
        (proposals({**GOOD, "x": "high"}), "'high' is not a number"),
    ],
)
def test_an_answer_that_cannot_be_used_goes_back_with_the_reason(answer: str, reason: str) -> None:
    from overnight_llm import Rejected
    from overnight_policy_hybrid.adviser import _checked

    with pytest.raises((Rejected, InvalidParams), match=reason):
        _checked(NUMBERS, answer)


@pytest.mark.slow
def test_a_language_model_changes_the_program_when_progress_stalls(server: _Server) -> None:
    diff = "--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-rate = 1\n+rate = 2\n"
    server.answers = [f"Why: a faster rate\n```diff\n{diff}```\n"]
    node = {"name": "llm_diff", "model": "openai/m", "api_base": f"http://127.0.0.1:{server.server_port}/v1"}
    policy = discover().build("policy", {"name": "hybrid", "diffs": node, "stall_trials": 3, "stall_gain": 100.0})
    points = [NUMBERS.sample(random.Random(seed)) for seed in range(9)]
    trials = [scored(number, 0.5 - 0.01 * number, point) for number, point in enumerate(points, 1)]
    asked = [
        replace(view(NUMBERS, trials, seed=seed), program=Program({"train.py": "rate = 1\n"})) for seed in range(6)
    ]
    found = [policy.ask(replace(each, incumbent=1), 1)[0] for each in asked]
    patched = next(one for one in found if one.patch)
    assert patched.patch == diff
    assert patched.params == points[0] and patched.parent == 1
    assert patched.rationale.startswith("diff: llm_diff: a faster rate [openai/m")
