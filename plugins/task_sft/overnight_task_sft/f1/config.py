"""Settings of task `sft_f1`."""

from typing import Any, Literal

from pydantic import Field, model_validator

from core import PluginConfig, SpaceConfig
from overnight_huggingface.adapters import LoraConfig
from overnight_huggingface.compute import Dtype

Form = Literal["encoder", "generative"]
PRESETS: dict[str, Form] = {"minilm": "encoder", "smollm2": "generative"}
"""Packaged weights, and the form that they are for."""


class RecipeConfig(PluginConfig):
    """One training run; what the search space names is taken from the trial instead.

    batch_size: texts per optimiser step. warmup_share: of the steps, the learning rate then falls
    linearly to 0. positive_weight: of the positive class in the loss, the other one has 1.
    max_length: tokens of a text, longer ones are cut. learning_rate, weight_decay: of AdamW.
    max_grad_norm: longer gradients are cut to it. label_smoothing: of the loss, over the two
    classes (encoder) or the vocabulary (generative).
    """

    learning_rate: float = Field(default=1e-5, gt=0)
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=32, ge=1)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    positive_weight: float = Field(default=1.0, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=64, ge=8)


class SftF1Config(PluginConfig):
    """form: `encoder` puts a classification head on an encoder; `generative` asks a chat model for
    the label, as a word. model: hub id or folder of an encoder or classifier, or of a chat model.
    model_preset: a model that a Python package carries, instead. revision: branch, tag or commit of
    a hub model. dtype: to compute in, auto = bfloat16 on GPUs that have it. gradient_checkpointing:
    less memory, more time.

    Of the generative form only: instruction: what the model is asked; {text}, {positive} and
    {negative} stand for the text and the labels' words. label_words: the word for a label, where it
    is not the label itself. chat_template: a Jinja file, for models without one. lora: adapters.

    data: hub id, a file (.json, .jsonl, .tsv, .csv) or a folder with one. data_name: configuration
    of a hub dataset. columns: names for a table without a header. text_column, label_column: their
    names. positive_label: the class that F1 is about, null = the rarer one.
    validation_share, test_share: of each class, cut out by a hash of the text.

    metric: `f1` of the positive class or the mean over both, `macro_f1`. threshold: probability
    above which a text is called positive, null = chosen on validation. balanced: multiply the
    positive weight by how much rarer the class is. recipe: how to train. eval_batch_size: texts
    scored at once. space: what a policy may choose, of the keys of `recipe` and `lora_rank`.
    """

    form: Form = "encoder"
    model: str = "protectai/deberta-v3-base-prompt-injection-v2"
    model_preset: Literal["minilm", "smollm2"] | None = None
    revision: str | None = None
    dtype: Dtype = "auto"
    gradient_checkpointing: bool = False
    instruction: str = "Is this text {positive} or {negative}? Answer with that one word.\n\n{text}"
    label_words: dict[str, str] = Field(default_factory=dict)
    chat_template: str | None = None
    lora: LoraConfig = Field(default_factory=LoraConfig)
    data: str = "deepset/prompt-injections"
    data_name: str | None = None
    columns: tuple[str, ...] | None = None
    text_column: str = "text"
    label_column: str = "label"
    positive_label: str | None = None
    validation_share: float = Field(default=0.25, gt=0, lt=1)
    test_share: float = Field(default=0.25, gt=0, lt=1)
    metric: Literal["f1", "macro_f1"] = "f1"
    threshold: float | None = Field(default=None, gt=0, lt=1)
    balanced: bool = False
    recipe: RecipeConfig = Field(default_factory=RecipeConfig)
    eval_batch_size: int = Field(default=64, ge=1)
    space: SpaceConfig = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> "SftF1Config":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share together leave nothing to train on")
        if self.model_preset is not None and PRESETS[self.model_preset] != self.form:
            fits = next(name for name, form in PRESETS.items() if form == self.form)
            raise ValueError(
                f"model_preset {self.model_preset} is for form {PRESETS[self.model_preset]}, not {self.form}; "
                f"take model_preset={fits}, or form={PRESETS[self.model_preset]}"
            )
        if self.form == "encoder" and (self.lora.rank or "lora_rank" in self.space):
            raise ValueError("lora is of the generative form; set lora.rank=0 and take lora_rank out of the space")
        if self.instruction.count("{text}") != 1:
            raise ValueError("instruction must hold {text} once")
        return self

    def defaults(self) -> dict[str, Any]:
        """Every hyperparameter that a search space may name, with its configured value."""
        return {**self.recipe.model_dump(), "lora_rank": self.lora.rank}
