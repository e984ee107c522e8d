"""What the model card of an `sft_f1` study says of base model, data and recipe."""

from core import ModelFacts
from overnight_huggingface.packaged import PACKAGED
from overnight_task_sft.f1.config import SftF1Config


def model_facts(config: SftF1Config) -> ModelFacts:
    """See core.contracts.DescribesModel. A preset is called by its name on the hub, never by its folder."""
    known = PACKAGED[config.model_preset] if config.model_preset else None
    notes = ["Fine-tuned to tell two kinds of text apart; classes were told apart at a threshold chosen on validation."]
    if config.form == "generative":
        notes.append(
            f"It answers the question in sft_f1.json with one of two words. The question was: {config.instruction!r}"
        )
    if known and known.note:
        notes.append(known.note)
    recipe = config.defaults()
    if config.form == "encoder":
        del recipe["lora_rank"]
    elif config.lora.rank or "lora_rank" in config.space:
        recipe |= config.lora.facts()
    return ModelFacts(
        base_model=known.hub_name if known else config.model,
        datasets=(config.data,),
        license=known.license if known else None,
        pipeline_tag="text-classification" if config.form == "encoder" else "text-generation",
        tags=("text-classification", "sft") if config.form == "encoder" else ("sft", "trl"),
        recipe=recipe,
        notes=tuple(notes),
    )
