"""What the model card of a `grpo_gsm8k` study says of base model, data and recipe."""

from core import ModelFacts
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.presets import PRESETS


def model_facts(config: Gsm8kConfig) -> ModelFacts:
    """See core.contracts.DescribesModel. A preset is called by its name on the hub, never by its cache folder."""
    notes = [
        "Trained with GRPO (Shao et al. 2024, arXiv 2402.03300) through TRL to solve word problems with one answer."
    ]
    if config.system_prompt:
        notes.append(f"Trained and scored with the system prompt: {config.system_prompt}")
    base, license_ = config.model, None
    if config.model_preset is not None:
        package, file, base = PRESETS[config.model_preset]
        license_ = "apache-2.0"  # huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
        notes.append(
            f"The starting weights were those of {file} in the package {package}, a 4-bit version of {base}: "
            f"an adapter put on the full-precision weights can score otherwise."
        )
    return ModelFacts(
        base_model=base,
        datasets=(config.data,),
        license=license_,
        pipeline_tag="text-generation",
        tags=("grpo", "trl"),
        recipe={**config.defaults(), **_adapter(config)},
        notes=tuple(notes),
    )


def _adapter(config: Gsm8kConfig) -> dict[str, float]:
    lora = config.lora
    return {"lora_alpha": lora.alpha, "lora_dropout": lora.dropout} if lora.rank or "lora_rank" in config.space else {}
