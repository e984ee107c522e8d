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
