"""Completions trained per second: our task, a bare TRL script, and a one-completion-at-a-time loop.

The three train the same model (SmolLM2-135M-Instruct, rank-16 adapters) on the same GSM8K prompts with the
same reward, on one device, each in a process of its own. Every completion is made exactly LENGTH tokens long
(the end token is forbidden until then), so that all three do the same work. Ours and TRL's take turns, and
the rate is the median over their rounds; a rate counts from the end of the first step, the start-up is shown
by itself. The loop does what the public autoresearch-rl example does: sample one completion, score it, and
run one forward and backward pass for it.

    python benchmarks/grpo_throughput.py DATA [--steps 4] [--rounds 2] [--length 64]

DATA: a folder with GSM8K's train.jsonl and test.jsonl.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROMPTS, GENERATIONS, RANK, RATE = 4, 4, 16, 1e-4
STARTED = time.monotonic()


class _Clock:
    """A training context that only takes the time of every step."""

    def __init__(self, folder: Path, rewards: tuple[Any, ...], steps: int) -> None:
        self.params = {"steps": steps, "learning_rate": RATE}
        self.seed, self.deadline_s, self.resume_from = 1, 3600.0, None
        self.cache, self.checkpoint_dir, self.rewards = _cache(), folder / "checkpoint", rewards
        self.checkpoint_dir.mkdir()
        self.ends: list[float] = []

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        if "loss" in metrics:
            self.ends.append(time.monotonic())

    def should_stop(self) -> bool:
        return False

    def remaining(self) -> float:
        return self.deadline_s


def _cache() -> Path:
    return Path(os.environ.get("OVERNIGHT_CACHE") or Path.home() / ".cache" / "overnight")


def _config(data: str, length: int) -> dict[str, Any]:
    return {
        "name": "grpo_gsm8k",
        "model_preset": "smollm2",
        "data": data,
        "system_prompt": "Answer in one short sentence that ends with #### and the number.",
        "max_prompt_length": 128,
        "lora": {"rank": RANK},
        "recipe": {
            "num_generations": GENERATIONS,
            "prompts_per_step": PROMPTS,
            "max_completion_length": length,
            "warmup_steps": 1,
        },
        "space": {
            "learning_rate": {"type": "float", "low": 1e-6, "high": 1e-3, "log": True, "default": RATE},
            "steps": {"type": "int", "low": 1, "high": 1000, "default": 4},
        },
    }


def _parts(data: str, length: int) -> tuple[Any, Any]:
    """The task, prepared, and its reward; the same for all three."""
    from core.plugins import discover

    registry = discover()
    task = registry.build("task", _config(data, length))
    task.prepare(_cache())
    return task, registry.build("reward", {"name": "correctness"})


def _same_length(length: int) -> None:
    """No completion may end early, whoever asks for it."""
    from transformers import GenerationMixin

    generate = GenerationMixin.generate

    def fixed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return generate(self, *args, **kwargs, min_new_tokens=length)

    GenerationMixin.generate = fixed


def ours(data: str, length: int, steps: int, folder: Path) -> list[float]:
    """When each step of our task ended."""
    from core import WeightedReward

    task, reward = _parts(data, length)
    _same_length(length)
    clock = _Clock(folder, (WeightedReward("correctness", 1.0, reward),), steps)
    task.train(clock)
    return clock.ends


def trl(data: str, length: int, steps: int, folder: Path) -> list[float]:
    """When each step of a bare TRL script with the same settings ended."""
    model, tokenizer, rows, reward, adapter = _loaded(data, length)
    _same_length(length)
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.monotonic())

    def correctness(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        return reward(prompts, completions, **columns)

    gpu = torch.cuda.is_available()
    arguments = GRPOConfig(
        output_dir=str(folder), learning_rate=RATE, max_steps=steps, num_generations=GENERATIONS,
        per_device_train_batch_size=PROMPTS * GENERATIONS, max_completion_length=length, beta=0.0,
        lr_scheduler_type="constant_with_warmup", warmup_steps=1, temperature=1.0, gradient_checkpointing=False,
        loss_type="dapo", logging_steps=1, save_strategy="no", report_to="none", seed=1, disable_tqdm=True,
        use_cpu=not gpu, bf16=gpu, dataloader_pin_memory=gpu,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model, processing_class=tokenizer, args=arguments, train_dataset=Dataset.from_list(rows),
        reward_funcs=correctness, callbacks=[Clock()], peft_config=adapter,
    )  # fmt: skip
    trainer.train()
    return ends


def loop(data: str, length: int, steps: int, folder: Path) -> list[float]:
    """When each step of a loop that handles one completion at a time ended."""
    model, tokenizer, rows, reward, adapter = _loaded(data, length)
    import torch
    from peft import get_peft_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = get_peft_model(model.to(device), adapter)
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=RATE)
    torch.manual_seed(1)
    ends = []
    for step in range(steps):
        for row in rows[step * PROMPTS : (step + 1) * PROMPTS]:
            text = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
            prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(device)
            made, scores = [], []
            for _ in range(GENERATIONS):
                with torch.no_grad():
                    output = model.generate(
                        **prompt, max_new_tokens=length, min_new_tokens=length, do_sample=True, temperature=1.0,
                        top_k=0, top_p=1.0, pad_token_id=tokenizer.pad_token_id,
                    )  # fmt: skip
                made.append(output)
                said = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
                chat = [[{"role": "assistant", "content": said}]]
                scores.append(float(reward([row["prompt"]], chat, answer=[row["answer"]])[0] or 0.0))
            paid = torch.tensor(scores)
            advantages = (paid - paid.mean()) / (paid.std() + 1e-4)
            for output, advantage in zip(made, advantages.tolist(), strict=True):
                logits = model(output).logits[:, :-1].float()
                chosen = torch.log_softmax(logits, -1).gather(-1, output[:, 1:, None])[..., 0]
                loss = -advantage * chosen[:, prompt["input_ids"].shape[1] - 1 :].mean() / (PROMPTS * GENERATIONS)
                loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        ends.append(time.monotonic())
    return ends


def _loaded(data: str, length: int) -> tuple[Any, Any, list[dict[str, Any]], Any, Any]:
    """The prepared model, tokenizer and rows, loaded with transformers and nothing of ours."""
    task, reward = _parts(data, length)
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = next((_cache() / "models").glob("SmolLM2*"))
    rows = json.loads(task._rows_file(_cache()).read_text(encoding="utf-8"))["rows"]
    adapter = LoraConfig(r=RANK, lora_alpha=32.0, target_modules="all-linear", task_type="CAUSAL_LM")
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    import torch

    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), tokenizer, rows, reward, adapter


def measure(name: str, options: argparse.Namespace, steps: int) -> dict[str, float]:
    """Run one of the three in its own process: completions per second after the first step, and seconds to it."""
    asked = [name, options.data, "--steps", str(steps), "--length", str(options.length)]
    ran = subprocess.run([sys.executable, __file__, "--only", *asked], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{name} failed:\n{ran.stderr[-2000:]}")
    found: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def main() -> int:
    """Print one JSON line with the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--only", choices=["ours", "trl", "loop"])
    options = parser.parse_args()
    if options.only:
        with tempfile.TemporaryDirectory() as folder:
            ends = globals()[options.only](options.data, options.length, options.steps, Path(folder))
        per_step = PROMPTS * GENERATIONS
        rate = per_step * (len(ends) - 1) / (ends[-1] - ends[0])
        print(json.dumps({"per_s": rate, "first_step_s": ends[0] - STARTED}))
        return 0
    rates: dict[str, list[dict[str, float]]] = {"ours": [], "trl": [], "loop": []}
    for turn in range(options.rounds):
        for name in ("ours", "trl") if turn % 2 == 0 else ("trl", "ours"):
            rates[name].append(measure(name, options, options.steps))
    rates["loop"].append(measure("loop", options, 2))
    shown = {
        name: {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
        for name, runs in rates.items()
    }
    ratios = {f"ours/{name}": round(shown["ours"]["per_s"] / shown[name]["per_s"], 2) for name in ("trl", "loop")}
    print(json.dumps({"completions": PROMPTS * GENERATIONS, "length": options.length, **shown, **ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
