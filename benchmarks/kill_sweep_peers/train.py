"""The training script of the peers, `train.py`, and their evaluation, `train.py eval`: the same
sleep and the same witness as Overnight's task `witnessed`.

autoresearch-rl gives the trial by AR_RUN_DIR (…/run-0003) and AR_PARAMS_JSON, as its local target
documents; the Optuna loop passes SWEEP_TRIAL and SWEEP_PARAMS.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("overnight_witness")))
from overnight_kill_sweep.witness import Witness


def main() -> None:
    """Sleep through the steps, or evaluate at once, then print the score."""
    params = json.loads(os.environ.get("AR_PARAMS_JSON") or os.environ["SWEEP_PARAMS"])
    if "AR_RUN_DIR" in os.environ:
        trial = int(Path(os.environ["AR_RUN_DIR"]).name.removeprefix("run-"))
    else:
        trial = int(os.environ["SWEEP_TRIAL"])
    phase = "validation" if sys.argv[1:] == ["eval"] else "train"
    witness = Witness(os.environ["SWEEP_WITNESS"], trial, phase, json.dumps(params, sort_keys=True))
    for _ in range(int(os.environ["SWEEP_STEPS"]) if phase == "train" else 0):
        time.sleep(float(os.environ["SWEEP_STEP_S"]))
        witness.say("beat")
    witness.say("end")
    print(f"score={math.exp(-(params['x'] ** 2)):.6f}", flush=True)


if __name__ == "__main__":
    main()
