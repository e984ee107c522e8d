"""Task `witnessed`: the bowl of the example distribution, with a witness outside the study."""

import json
import math
import random
import time
from pathlib import Path

from core import Evaluation, FloatParam, ItemScore, Objective, PluginConfig, Space, SpaceConfig
from overnight_kill_sweep.witness import Witness

_SPACE = {"x": FloatParam(low=-2.0, high=2.0, default=1.5)}


class Witnessed:
    """Finds the bottom of a bowl and tells a witness about each attempt."""

    class Config(PluginConfig):
        """witness: file that attempts are written to. step_s: seconds a training step takes."""

        witness: str
        step_s: float = 0.2
        steps: int = 10
        items: int = 60
        space: SpaceConfig = _SPACE

    def __init__(self, config):
        self._config = config
        self.objective = Objective("hit_rate", "maximize")
        self.space = Space(config.space)

    def prepare(self, cache):
        """Nothing to prepare."""

    def train(self, context):
        x = float(context.params["x"])
        witness = self._witness(json.dumps([x, context.seed]))
        for step in range(1, self._config.steps + 1):
            if context.should_stop():
                return
            time.sleep(self._config.step_s)
            context.report(step, self._config.steps, loss=x * x / step)
            witness.say("beat")
        (context.checkpoint_dir / "weights.json").write_text(json.dumps({"x": x}))
        witness.say("end")

    def evaluate(self, checkpoint, split, context):
        witness = self._witness(split)
        x = 1.8 if checkpoint is None else json.loads((checkpoint / "weights.json").read_text())["x"]
        rng = random.Random(split)
        scores = [ItemScore(f"{split}-{i}", float(rng.random() < math.exp(-x * x))) for i in range(self._config.items)]
        witness.say("end")
        return Evaluation.from_items(split, "hit_rate", scores)

    def _witness(self, key):
        token = json.loads(Path("job.json").read_text())["token"]  # the local executor's, in the job's folder
        _, trial, phase, _ = token.rsplit("/", 3)
        return Witness(self._config.witness, int(trial), phase, key)
