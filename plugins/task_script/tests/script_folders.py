"""Writes script folders in the shapes of the public projects, for tests."""

from pathlib import Path

PREPARE = '''"""Frozen."""
from pathlib import Path
TIME_BUDGET = 300
if __name__ == "__main__":
    Path("data.txt").write_text("2.0")
'''

# autoresearch-rl: parameters from the environment, key=value, progress and control file, exit 42.
RL_TRAIN = """import json, os, sys, time
params = json.loads(os.environ["AR_PARAMS_JSON"])
goal = float(open("data.txt").read())
x = float(params["x"])
loss = (x - goal) ** 2
for step in range(1, 21):
    with open(os.environ["AR_PROGRESS_FILE"], "a") as file:
        file.write(json.dumps({"step": step, "step_target": 20, "metrics": {"loss": loss / step}}) + "\\n")
    with open(os.path.join(os.environ["AR_MODEL_DIR"], "model.json"), "w") as file:
        json.dump({"x": x}, file)
    if os.path.exists(os.environ["AR_CONTROL_FILE"]):
        print(f"loss={loss} eval_score={-loss:.4e}")
        sys.exit(42)
    time.sleep(0.02)
print(f"loss={loss} eval_score={-loss:.4e}")
"""

# autoresearch: no parameters, a summary of `key:   value` lines after a rule.
KARPATHY_TRAIN = """import os
from prepare import TIME_BUDGET
rate = float(os.environ.get("AR_PARAM_X", "0.5"))
print(f"step 00010 | loss: {1 + rate:.6f} | remaining: {TIME_BUDGET}s")
print("---")
print(f"val_bpb:          {0.9979 + abs(rate - 0.2):.6f}")
print("training_seconds: 300.1")
print("peak_vram_mb:     45060.2")
"""

# autoresearch, unmodified: constants at the top, a budget from prepare.py, progress on one line with \\r.
KARPATHY_CONSTANTS = """from prepare import TIME_BUDGET

ASPECT_RATIO = 64       # model_dim = depth * ASPECT_RATIO
DEPTH = 8               # layers
TOTAL_BATCH_SIZE = 2**19
MATRIX_LR = 0.04
ADAM_BETAS = (0.8, 0.95)

for step in range(3):
    print(f"\\rstep {step:05d} ({step:.1f}%) | loss: {3 - step:.6f} | tok/sec: {12_000:,} | ", end="", flush=True)
print()
print("---")
print(f"val_bpb:          {0.9 + abs(DEPTH - 6) / 10 + abs(MATRIX_LR - 0.02):.6f}")
print(f"training_seconds: {TIME_BUDGET:.1f}")
print("peak_vram_mb:     45060.2")
print(f"total_batch:      {TOTAL_BATCH_SIZE}")
print(f"depth:            {DEPTH}")
"""

# autoresearch-rl, unmodified: argparse with defaults, parameters from AR_PARAMS_JSON, the SDK only if it is there.
RL_ARGPARSE = """import argparse, json, os
try:
    from autoresearch_rl.target.progress import emit_progress
except ImportError:
    def emit_progress(**_):
        return True
parser = argparse.ArgumentParser()
parser.add_argument("--train-file", required=True)
parser.add_argument("--learning-rate", type=float, default=2.8e-3)
parser.add_argument("--use-qk-norm", action="store_true")
args = parser.parse_args()
rate = float(json.loads(os.environ.get("AR_PARAMS_JSON", "{}")).get("learning_rate", args.learning_rate))
bonus = 0.05 if str(os.environ.get("AR_PARAM_USE_QK_NORM", "")).lower() in {"1", "true"} else 0.0
assert open(args.train_file).read() == "2.0"
emit_progress(step=1, step_target=1, metrics={"loss": 2.1})
print("loss=2.1000")
print(f"val_bpb={1.35 + abs(rate - 2.6e-3) * 130 - bonus:.4f}")
"""

EVALUATE = """import json, os, random
assert os.path.exists("answers.json")
x = 0.0
if os.environ.get("AR_MODEL_DIR"):
    x = json.load(open(os.path.join(os.environ["AR_MODEL_DIR"], "model.json")))["x"]
split = os.environ["AR_SPLIT"]
rng = random.Random(split)
with open(os.environ["AR_ITEMS_FILE"], "w") as file:
    for i in range(40):
        file.write(json.dumps({"id": f"{split}-{i}", "score": float(rng.random() * 2 > abs(x - 2))}) + "\\n")
"""


def write(folder: Path, train: str, evaluate: str | None = None) -> Path:
    """Make the folder, with answers where it has an evaluator."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"prepare.py": PREPARE, "train.py": train, "program.md": "Make it better.\n"}
    if evaluate:
        texts |= {"evaluate.py": evaluate, "answers.json": "[]"}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
