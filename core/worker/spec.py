"""The worker's order: what one job's process is to do, as a JSON file in its job folder."""

from typing import Any, Literal

from pydantic import Field

from core.contracts import PluginConfig, Scalar

FILENAME = "spec.json"
RESULT = "result.json"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint"
EVALUATION = "evaluation.jsonl"
PARTIAL = "partial"
RESUME = "resume"
PROGRAM = "program"


class WorkerSpec(PluginConfig):
    """One order.

    phase: "prepare" (shared assets only), "train", "validation" or "test" (evaluations).
    task: the task's config node with its `name`; rewards: reward name → weight and options.
    params, seed: of the trial; used by "train". preflight: what "prepare" does about what the
    task's preflight finds. baseline: evaluate the untouched model.
    deadline_s: seconds the executor grants; the worker asks training to stop a little earlier.
    partial_every_s: seconds between partial checkpoints of training. inputs: key of the task's node →
    the place in the job's folder of what it names. program: editable files that a patch changed, which
    lie in `program/`. sandbox: "on" = train in a sandbox, "inside" = this process is in it already.
    readable: further paths that a sandboxed training may read.
    """

    phase: Literal["prepare", "train", "validation", "test"]
    task: dict[str, Any]
    rewards: dict[str, dict[str, Any]] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    params: dict[str, Scalar] = Field(default_factory=dict)
    seed: int = 0
    preflight: Literal["refuse", "warn", "off"] = "off"
    baseline: bool = False
    deadline_s: float
    stop_margin_s: float = 20.0
    partial_every_s: float = 300.0
    program: tuple[str, ...] = ()
    sandbox: Literal["off", "on", "inside"] = "off"
    readable: tuple[str, ...] = ()
