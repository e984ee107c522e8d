"""Low-rank adapters: their settings, and peft's configuration made of them."""

from typing import Any

from pydantic import Field

from core import PluginConfig


class LoraConfig(PluginConfig):
    """Low-rank adapters (Hu et al. 2021) instead of training all weights. rank: 0 = all weights.
    alpha, dropout: as in peft's LoraConfig. target_modules: peft's, "all-linear" = every linear layer."""

    rank: int = Field(default=0, ge=0)
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"

    def adapter(self, rank: int) -> Any:
        """peft's configuration for a language model, of this rank (a trial may choose its own)."""
        from peft import LoraConfig as PeftConfig

        targets = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        return PeftConfig(
            r=rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets, task_type="CAUSAL_LM"
        )

    def facts(self) -> dict[str, float]:
        """What a model card's recipe says of it beside the rank."""
        return {"lora_alpha": self.alpha, "lora_dropout": self.dropout}
