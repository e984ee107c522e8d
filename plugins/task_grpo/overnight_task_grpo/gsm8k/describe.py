"""What the model card of a `grpo_gsm8k` study says of base model, data and recipe."""

from core import ModelFacts
from overnight_huggingface.packaged import PACKAGED
from overnight_task_grpo.gsm8k.config import Gsm8kConfig


def model_facts(config: Gsm8kConfig) -> ModelFacts:
    """See core.contracts.DescribesModel. A preset is called by its name on the hub, never by its cache folder."""
    notes = [
        "Trained with GRPO (Shao et al. 2024, arXiv 2402.03300) through TRL to solve word problems with one answer."
    ]
    if config.system_prompt:
        notes.append(f"Trained and scored with the system prompt: {config.system_prompt}")
    base, license_ = config.model, None
    if config.model_preset is not None:
        known = PACKAGED[config.model_preset]
        base, license_ = known.hub_name, known.license
        notes.append(known.note)
    adapted = config.lora.rank or "lora_rank" in config.space
    return ModelFacts(
        base_model=base,
        datasets=(config.data,),
        license=license_,
        pipeline_tag="text-generation",
        tags=("grpo", "trl"),
        recipe={**config.defaults(), **(config.lora.facts() if adapted else {})},
        notes=tuple(notes),
    )
