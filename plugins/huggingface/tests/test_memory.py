"""The estimate of training memory: what it is made of, and that it is near what a real run held."""

from types import SimpleNamespace
from typing import Any

import pytest

from overnight_huggingface.memory import adapter_weights, training_memory_gb

SMOLLM2: Any = SimpleNamespace(hidden_size=576, num_hidden_layers=30)


def estimate(**changes: Any) -> float:
    given: dict[str, Any] = {
        "weights": 135_000_000, "trained": adapter_weights(16, SMOLLM2), "element_size": 4, "tokens": 32 * 62,
        "logits": 32 * 16 * 49_152,
    }  # fmt: skip
    return training_memory_gb(SMOLLM2, **{**given, **changes})


def test_it_is_near_what_a_trial_of_smollm2_held() -> None:
    held = 7.3 - 0.6  # peak of the process, less what Python and the libraries hold (docs/benchmarks.md)
    assert estimate() == pytest.approx(held, rel=0.2)


def test_every_part_counts() -> None:
    gib = 2**30
    assert estimate(trained=135_000_000) - estimate(trained=0) == pytest.approx(12 * 135_000_000 / gib)
    assert estimate(reference=True) - estimate() == pytest.approx(4 * 135_000_000 / gib)
    assert estimate(logits=0) == pytest.approx(estimate() - 8 * 32 * 16 * 49_152 / gib)
    assert estimate(tokens=0, logits=0, trained=0) == pytest.approx(4 * 135_000_000 / gib)
    assert estimate(gradient_checkpointing=True) < 0.4 * estimate()
    assert estimate(element_size=2) < 0.6 * estimate()


def test_adapters_have_about_as_many_weights_as_peft_makes() -> None:
    from peft import get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from overnight_huggingface.adapters import LoraConfig

    shape = LlamaConfig(
        vocab_size=64, hidden_size=48, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    model = get_peft_model(LlamaForCausalLM(shape), LoraConfig().adapter(4))
    made = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert adapter_weights(4, shape) == pytest.approx(made, rel=0.5)
