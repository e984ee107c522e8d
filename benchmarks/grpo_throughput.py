"""Completions trained per second: our task, a bare TRL script, and loops that handle one completion at a time.

All train the same model (SmolLM2-135M-Instruct) on the same GSM8K prompts with the same reward, on one device, each
in a process of its own. Every completion is made exactly LENGTH tokens long (the end token is forbidden until then),
so that all do the same work; 256 is TRL's default and what the public autoresearch-rl example asks for. Ours and TRL's
train rank-16 adapters, take turns, and the rate is the median over their rounds; it counts from the end of the first
step, the start-up is shown by itself.

    loop       samples one completion, scores it, and runs one forward and backward pass for it; the same adapters
    published  the same as the public autoresearch-rl example does it: all weights, one pass more through a frozen
               reference model, log-probabilities of sampling kept token by token

    python benchmarks/grpo_throughput.py DATA [--steps 3] [--rounds 2] [--length 256] [--loop-completions 4]

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

PROMPTS, GENERATIONS, RANK, RATE = 8, 4, 16, 1e-4
MICRO_BATCH = 8  # completions in one forward and backward pass; all of a step are generated at once
STARTED = time.monotonic()


class _Clock:
    """A training context that only takes the time of every step."""

    def __init__(self, folder: Path, rewards: tuple[Any, ...], steps: int) -> None:
        self.params = {"steps": steps, "learning_rate": RATE}
        self.seed, self.deadline_s, self.resume_from = 1, 3600.0, None
        self.cache, self.checkpoint_dir, self.rewards = _cache(), folder / "checkpoint", rewards
        self.checkpoint_dir.mkdir()
        self.partial_dir = folder / "partial"
        self.ends: list[float] = []

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        if "loss" in metrics:
            self.ends.append(time.monotonic())

    def should_stop(self) -> bool:
        return False

    def partial_due(self) -> bool:
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
        "micro_batch": MICRO_BATCH,
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
    """The task, which `main` has prepared, and its reward; the same for all."""
    from core.plugins import discover

    registry = discover()
    task = registry.build("task", _config(data, length))
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
        per_device_train_batch_size=MICRO_BATCH, max_completion_length=length, beta=0.0,
        gradient_accumulation_steps=PROMPTS * GENERATIONS // MICRO_BATCH,
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


def loop(data: str, length: int, completions: int, folder: Path) -> list[float]:
    """When a loop that handles one completion at a time began, and when its update was done."""
    import torch
    from peft import get_peft_model

    base, tokenizer, rows, reward, adapter = _loaded(data, length)
    model = get_peft_model(_on_device(base), adapter)
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=RATE)
    prompt = _prompt(tokenizer, rows[0], model.device)
    _generate(model, tokenizer, prompt, 4)
    began = time.monotonic()
    made = [_generate(model, tokenizer, prompt, length).sequences for _ in range(completions)]
    start = prompt["input_ids"].shape[1]
    paid = torch.tensor([_paid(tokenizer, reward, rows[0], output[0, start:]) for output in made])
    advantages = (paid - paid.mean()) / (paid.std() + 1e-4)
    for output, advantage in zip(made, advantages.tolist(), strict=True):
        chosen = _chosen(model(output).logits, output, start)
        (-advantage * chosen.mean() / completions).backward()
    optimiser.step()
    return [began, time.monotonic()]


def published(data: str, length: int, completions: int, folder: Path) -> list[float]:
    """When a loop as in the public autoresearch-rl example began, and when its update was done."""
    import torch

    base, tokenizer, rows, reward, _ = _loaded(data, length)
    model, reference = _on_device(base), _on_device(_loaded(data, length)[0]).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    prompt = _prompt(tokenizer, rows[0], model.device)
    start = prompt["input_ids"].shape[1]
    _generate(model, tokenizer, prompt, 4)
    began = time.monotonic()
    made = []
    for _ in range(completions):
        output = _generate(model, tokenizer, prompt, length, output_scores=True)
        ids = output.sequences[0, start:]
        before = [torch.log_softmax(scores[0], -1)[ids[t]].item() for t, scores in enumerate(output.scores)]
        made.append((output.sequences, torch.tensor(before, device=model.device)))
    paid = torch.tensor([_paid(tokenizer, reward, rows[0], output[0, start:]) for output, _ in made])
    total = torch.zeros((), device=model.device)
    for (output, before), advantage in zip(made, (paid - paid.mean()).tolist(), strict=True):
        chosen = _chosen(model(output).logits, output, start)
        with torch.no_grad():
            plain = _chosen(reference(output).logits, output, start)
        ratio = torch.exp(chosen - before)
        gain = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
        total = total - gain + 0.01 * (chosen - plain).mean()
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return [began, time.monotonic()]


def _on_device(model: Any) -> Any:
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _prompt(tokenizer: Any, row: dict[str, Any], device: Any) -> Any:
    text = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    return tokenizer(text, return_tensors="pt", add_special_tokens=False).to(device)


def _generate(model: Any, tokenizer: Any, prompt: Any, length: int, **more: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.generate(
            **prompt, max_new_tokens=length, min_new_tokens=length, do_sample=True, temperature=1.0, top_k=0,
            top_p=1.0, pad_token_id=tokenizer.pad_token_id, return_dict_in_generate=True, **more,
        )  # fmt: skip


def _paid(tokenizer: Any, reward: Any, row: dict[str, Any], ids: Any) -> float:
    chat = [[{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]]
    return float(reward([row["prompt"]], chat, answer=[row["answer"]])[0] or 0.0)


def _chosen(logits: Any, output: Any, start: int) -> Any:
    """Log-probabilities of the completion's tokens."""
    import torch

    shares = torch.log_softmax(logits[:, start - 1 : -1].float(), -1)
    return shares.gather(-1, output[:, start:, None])[0, :, 0]


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


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one of them in its own process: completions per second after the first step, and seconds to it."""
    asked = [name, options.data, "--steps", str(options.steps), "--length", str(options.length)]
    asked += ["--loop-completions", str(options.loop_completions)]
    ran = subprocess.run([sys.executable, __file__, "--only", *asked], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{name} failed:\n{ran.stderr[-2000:]}")
    found: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def main() -> int:
    """Print one JSON line with the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--loop-completions", type=int, default=4)
    parser.add_argument("--only", choices=["prepare", "ours", "trl", "loop", "published"])
    options = parser.parse_args()
    if options.only == "prepare":
        _parts(options.data, options.length)[0].prepare(_cache())
        print("{}")
        return 0
    if options.only:
        with tempfile.TemporaryDirectory() as folder:
            count = options.loop_completions if options.only in ("loop", "published") else options.steps
            ends = globals()[options.only](options.data, options.length, count, Path(folder))
        trained = count if options.only in ("loop", "published") else PROMPTS * GENERATIONS * (len(ends) - 1)
        print(json.dumps({"per_s": trained / (ends[-1] - ends[0]), "first_step_s": ends[0] - STARTED}))
        return 0
    measure("prepare", options)
    rates: dict[str, list[dict[str, float]]] = {name: [] for name in ("ours", "trl", "loop", "published")}
    for turn in range(options.rounds):
        for name in ("ours", "trl") if turn % 2 == 0 else ("trl", "ours"):
            rates[name].append(measure(name, options))
            print(f"{name}: {rates[name][-1]}", file=sys.stderr, flush=True)
    for name in ("loop", "published"):
        rates[name].append(measure(name, options))
        print(f"{name}: {rates[name][-1]}", file=sys.stderr, flush=True)
    shown = {
        name: {key: round(statistics.median(run[key] for run in runs), 4) for key in runs[0]}
        for name, runs in rates.items()
    }
    ours_per_s = shown["ours"]["per_s"]
    ratios = {f"ours/{name}": round(ours_per_s / shown[name]["per_s"], 2) for name in ("trl", "loop", "published")}
    print(json.dumps({"completions": PROMPTS * GENERATIONS, "length": options.length, **shown, **ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
