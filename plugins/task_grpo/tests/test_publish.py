"""What is published loads with transformers and peft, from a folder of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overnight_huggingface import tiny_chat

pytestmark = pytest.mark.slow


def _publish(facts: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.__main__ import main

    monkeypatch.setattr("core.commands.publish.read_facts", lambda directory: facts)
    assert main(["publish", str(facts.study.directory), "--to", str(out)]) == 0


def _logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(torch.tensor([[5, 6, 7, 8]])).logits


@pytest.fixture
def study() -> Callable[..., Any]:
    """Facts of a made-up study; from the repository's own tests."""
    return pytest.importorskip("checkpoints").study


def test_a_published_model_loads_and_answers_as_before(
    tmp_path: Path, study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = tiny_chat.make(tmp_path / "study/trials/0001/checkpoint")
    (source / "optimizer.pt").write_bytes(b"x")
    _publish(study(tmp_path / "study"), tmp_path / "out", monkeypatch)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(_logits(model), _logits(AutoModelForCausalLM.from_pretrained(source)))
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tiny_chat.TEMPLATE
    assert not (tmp_path / "out/optimizer.pt").exists()


def test_a_published_adapter_loads_as_its_card_says(
    tmp_path: Path, study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_chat.make(tmp_path / "base")
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    adapted.save_pretrained(tmp_path / "study/trials/0001/checkpoint")
    _publish(study(tmp_path / "study", task={"model": "org/tiny"}), tmp_path / "out", monkeypatch)
    settings = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "org/tiny"

    # The card's own lines, where the hub's name of the base model is a folder at hand.
    card = (tmp_path / "out/README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0].replace("path/to/this/folder", str(tmp_path / "out"))
    (tmp_path / "org").mkdir()
    base.rename(tmp_path / "org/tiny")
    more = "import torch\ntorch.save(model.eval()(torch.tensor([[5, 6, 7, 8]])).logits.detach(), 'logits.pt')\n"
    subprocess.run([sys.executable, "-c", code + more], cwd=tmp_path, check=True, timeout=120)
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), _logits(adapted), atol=1e-6)
    assert not torch.allclose(
        _logits(AutoModelForCausalLM.from_pretrained(tmp_path / "org/tiny")), _logits(adapted), atol=1e-6
    ), "the adapter changes something"
