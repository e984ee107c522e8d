"""An estimate of the memory that training a transformer needs, for preflights."""

from typing import Any

_KEPT_VALUES = 40
"""Values that the backward pass needs of every token, hidden unit and layer. Korthikanti et al. 2022
(arXiv 2205.05198) count 34 bytes, 17 values in half precision, for GPT without attention scores; gated
feed-forward layers, adapters and unfused operations need more: measured with SmolLM2 (docs/benchmarks.md)."""


def training_memory_gb(
    shape: Any,
    weights: int,
    trained: int,
    element_size: int,
    tokens: int,
    logits: int,
    *,
    reference: bool = False,
    gradient_checkpointing: bool = False,
) -> float:
    """The peak in GiB.

    Weights, twice with a reference model; gradients and Adam's two moments of the trained ones (12
    bytes each, float32); activations, one layer's share and the layers' inputs with gradient
    checkpointing; logits and their gradient in float32.

    shape: the model's config. weights, trained: how many. element_size: bytes of one weight.
    tokens, logits: in one forward pass.
    """
    layers = shape.num_hidden_layers
    unit = tokens * shape.hidden_size * element_size
    activations = (_KEPT_VALUES + layers if gradient_checkpointing else _KEPT_VALUES * layers) * unit
    return float((2 if reference else 1) * weights * element_size + 12 * trained + activations + 8 * logits) / 2**30


def adapter_weights(rank: int, shape: Any) -> int:
    """Roughly how many weights rank-r adapters on every linear layer have."""
    return int(12 * rank * shape.hidden_size * shape.num_hidden_layers * 2)
