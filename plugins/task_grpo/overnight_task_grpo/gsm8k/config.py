"""Settings of task `grpo_gsm8k`."""

from typing import Any, Literal

from pydantic import Field

from core import PluginConfig, SpaceConfig
from overnight_huggingface.adapters import LoraConfig
from overnight_huggingface.compute import Dtype


class RecipeConfig(PluginConfig):
    """One GRPO run; what the search space names is taken from the trial instead.

    prompts_per_step × num_generations completions make one optimiser step. beta: KL coefficient,
    0 = no reference model. max_completion_length: tokens. warmup_steps: of the learning rate,
    constant after them. loss_type, scale_rewards: as in TRL's GRPOConfig. The defaults follow the
    published autoresearch-rl run (learning rate 5e-6, 50 to 80 steps), with more than its three
    generations, since a group of three often has no spread to learn from.
    """

    learning_rate: float = Field(default=5e-6, gt=0)
    num_generations: int = Field(default=8, ge=2)
    prompts_per_step: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.0, ge=0)
    steps: int = Field(default=60, ge=1)
    max_completion_length: int = Field(default=512, ge=1)
    warmup_steps: int = Field(default=5, ge=0)
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"


class Gsm8kConfig(PluginConfig):
    """model: hub id or folder. model_preset: a model that a Python package carries, instead.
    revision: branch, tag or commit of a hub model. chat_template: a Jinja file, for models without one.

    data: hub id, a folder with train.jsonl and test.jsonl, or `reasoning_gym:DATASET`.
    data_name: configuration of a hub dataset. data_options: keyword arguments of a
    reasoning-gym dataset. question_column, answer_column: their names in the data.
    train_items: at most so many questions to train on, null = all. validation_items: questions
    taken out of the train file for selection. test_items: of the test file, null = all.
    contamination_ngram: a training question that shares so many consecutive words with a
    held-out one is left out (13 as in Brown et al. 2020, appendix C); 0 = only equal questions are.

    system_prompt: "" = none. prompt_template: `{question}` stands for the question.
    max_prompt_length: tokens; longer training prompts are left out.
    lora, recipe: how to train. micro_batch: completions in one forward pass, a divisor of
    prompts_per_step × num_generations, null = all at once. eval_batch_size: completions generated
    at once in evaluation. dtype: of the weights, auto = bfloat16 on GPUs that have it (full
    training keeps float32 weights and computes in bfloat16). gradient_checkpointing: less memory,
    more time. vllm: auto = generate with vLLM if it is installed and a GPU is there.
    vllm_memory_share: of the GPU's memory. preflight_prompts: how many prompts the preflight samples.
    space: what a policy may choose, of the keys of `recipe` and `lora_rank`.
    """

    model: str = "Qwen/Qwen2.5-0.5B-Instruct"
    model_preset: Literal["smollm2"] | None = None
    revision: str | None = None
    chat_template: str | None = None
    data: str = "openai/gsm8k"
    data_name: str | None = "main"
    data_options: dict[str, Any] | None = None
    question_column: str = "question"
    answer_column: str = "answer"
    train_items: int | None = Field(default=None, ge=1)
    validation_items: int = Field(default=300, ge=1)
    test_items: int | None = Field(default=None, ge=1)
    contamination_ngram: int = Field(default=13, ge=0)
    system_prompt: str = "Solve the problem step by step. End with a line that holds #### and then the number alone."
    prompt_template: str = "{question}"
    max_prompt_length: int = Field(default=512, ge=8)
    lora: LoraConfig = Field(default_factory=LoraConfig)
    recipe: RecipeConfig = Field(default_factory=RecipeConfig)
    micro_batch: int | None = Field(default=None, ge=1)
    eval_batch_size: int = Field(default=64, ge=1)
    dtype: Dtype = "auto"
    gradient_checkpointing: bool = False
    vllm: Literal["auto", "off"] = "auto"
    vllm_memory_share: float = Field(default=0.3, gt=0, lt=1)
    preflight_prompts: int = Field(default=8, ge=1)
    space: SpaceConfig = Field(default_factory=dict)

    def defaults(self) -> dict[str, Any]:
        """Every hyperparameter that a search space may name, with its configured value."""
        return {**self.recipe.model_dump(), "lora_rank": self.lora.rank}
