"""Task `quadratic`: a bowl to descend into, in milliseconds, with faults to order."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time

from core import (
    Evaluation,
    FloatParam,
    IntParam,
    ItemScore,
    Objective,
    PluginConfig,
    Preflight,
    SetupError,
    Space,
    SpaceConfig,
)
from overnight_example import faults

_SPACE = {
    "x": FloatParam(low=-2.0, high=2.0, default=1.5),
    "k": IntParam(low=1, high=8, default=2),
}


class Quadratic:
    """Finds the bottom of a noisy bowl; trains in milliseconds."""

    class Config(PluginConfig):
        """step_s: seconds a training step takes. fault: how training misbehaves, for trials
        whose x is above fault_above. items: per split."""

        step_s: float = 0.01
        steps: int = 5
        items: int = 60
        fault: str = "none"
        fault_above: float = -10.0
        space: SpaceConfig = _SPACE

    def __init__(self, config):
        self._config = config
        self.objective = Objective("hit_rate", "maximize")
        self.space = Space(config.space)

    def prepare(self, cache):
        if self._config.fault == "prepare":
            raise RuntimeError("there is nothing to prepare with")
        (cache / "quadratic").mkdir(parents=True, exist_ok=True)

    def check(self):
        if self._config.fault == "check":
            raise SetupError("task.fault: says that this cannot work; choose another")

    def preflight(self, context):
        wide = self.space["x"].high - self.space["x"].low
        doubts = ("task.space.x: is wide",) if self._config.fault in ("doubtful", "hopeless") else ()
        refusals = ("task.space.x: nothing can be learned",) if self._config.fault == "hopeless" else ()
        return Preflight({"width": wide, "x": float(context.params["x"])}, doubts, refusals)

    def train(self, context):
        x = float(context.params.get("x", 0.0))
        if x > self._config.fault_above:
            misbehave(self._config.fault, context)
            if self._config.fault == "no_checkpoint":
                return
        rng = random.Random(context.seed)
        for step in range(_steps_done(context.resume_from) + 1, self._config.steps + 1):
            if context.should_stop():
                break
            time.sleep(self._config.step_s)
            context.report(step, self._config.steps, loss=x * x / step)
            if context.partial_due():
                (context.partial_dir / "step.new").write_text(str(step))
                (context.partial_dir / "step.new").rename(context.partial_dir / "step")
        weights = {"x": x, "luck": rng.uniform(-0.02, 0.02)}
        (context.checkpoint_dir / "weights.json").write_text(json.dumps(weights))
        if x > self._config.fault_above:
            faults.spoil_checkpoint(self._config.fault, context.checkpoint_dir)

    def evaluate(self, checkpoint, split, context):
        weights = {"x": 1.8, "luck": 0.0}
        if checkpoint is not None:
            weights = json.loads((checkpoint / "weights.json").read_text())
        chance = math.exp(-(weights["x"] ** 2)) + weights["luck"]
        rng = random.Random(f"{split}")
        scores = [ItemScore(f"{split}-{i}", float(rng.random() < chance)) for i in range(self._config.items)]
        if self._config.fault == "nan_score" and checkpoint is not None and weights["x"] > self._config.fault_above:
            return Evaluation(split, "hit_rate", math.nan, len(scores), 0.0, 1.0)
        context.report(len(scores), len(scores))
        evaluation = Evaluation.from_items(split, "hit_rate", scores)
        if checkpoint is None or weights["x"] <= self._config.fault_above:
            return evaluation
        return faults.spoil_evaluation(self._config.fault, evaluation)


def _steps_done(earlier):
    """How far an attempt came that was lost; 0 if it left nothing that can be read."""
    try:
        return int((earlier / "step").read_text()) if earlier else 0
    except (OSError, ValueError):
        return 0


def misbehave(fault, context):
    """Do what the fault says; returns for those that only disturb."""
    if fault in faults.TRAINING:
        faults.TRAINING[fault](context)
    if fault == "raise":
        raise ValueError("the gradient went \x1b[31mfor a walk")
    if fault == "hang":
        time.sleep(3600)
    if fault == "gigabyte":
        block = os.urandom(1 << 20)
        for _ in range(200):
            sys.stdout.buffer.write(block)
    if fault == "nan":
        for step in range(1, 1000):
            context.report(step, 1000, loss=math.nan)
            time.sleep(0.05)
    if fault == "silence":
        context.report(1, 10, loss=0.1)
        time.sleep(3600)
    if fault == "segfault":
        print("score=0.99", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "exit":
        print("score=0.99", flush=True)
        os._exit(3)
    if fault == "detach":
        sleeper = (
            "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
        )
        subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=True)
