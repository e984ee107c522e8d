"""Random SIGKILLs of the controller while a provider misbehaves: machines left, the bill, the ledger, the cap.

Studies run through `python -m core executor=cloud` on a loopback stub of Basilica's API whose machines are
real process trees, billed by the second from the moment they run; the provider loses answers of
creates, answers 429, 500, 503 and garbage, is out of stock, preempts machines, loses them without a
word, cuts streams and refuses deletions. Every controller is killed at a seeded random instant and
resumed; a study that ends makes place for the next one. At the end: what is still there.

    python benchmarks/cloud_kills.py [KILLS] [SEED]
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "executor_cloud" / "tests" / "basilica_stub"))
from basilica_hand import BasilicaStub

from core.journal import events as ev
from core.journal.store import Journal

CAP_USD, TRIALS = 600.0, 40
LAG_S = 0.5
FAULTS: list[dict[str, Any]] = [
    {"match": "POST /deployments", "do": "lose", "chance": 0.12},
    {"match": "POST /deployments", "do": "lose_500", "chance": 0.04},
    {"match": "POST /deployments", "do": "garbage", "chance": 0.03},
    {"match": "POST /deployments", "do": "answer", "status": 429, "chance": 0.04},
    {"match": "POST /deployments", "do": "stock_out", "chance": 0.04},
    {"match": "GET /deployments.*", "do": "answer", "status": 503, "chance": 0.02},
    {"match": "GET /deployments.*", "do": "garbage", "chance": 0.01},
    {"match": "DELETE /deployments/.*", "do": "answer", "status": 500, "chance": 0.10},
    {"match": "DELETE /deployments/.*", "do": "lose", "chance": 0.05},
    {"match": "POST /d/.*", "do": "cut", "after": 300, "chance": 0.01},
]
FATES: list[dict[str, Any]] = [
    {"preempt_s": 0.6, "chance": 0.04},
    {"vanish_s": 0.6, "chance": 0.03},
    {"delete_fails": 2, "chance": 0.05},
    {"provision_s": 1.5, "chance": 0.05},
]


def study_words(directory: Path, stub: BasilicaStub) -> list[str]:
    """A study of short trials at a dollar a second."""
    return [
        "task=quadratic", "task.step_s=0.1", "policy=random", "tracker=none", "console=quiet", "poll_s=0.1",
        "grace_s=1", "decision=greedy", "certification.runs=0",
        f"budget.trials={TRIALS}", f"budget.usd={CAP_USD:g}", "retries=8", "max_failures=100",
        "deadline.prepare_s=20", "deadline.train_s=15", "deadline.evaluate_s=15", f"dir={directory}",
        "resources.gpus=1", "executor=cloud", "executor.slots=3",
        f"executor.python={sys.executable}", "executor.requirements=none",
        "executor.gpu_types=[A100]", "executor.provision_s=12", "executor.wind_down_s=3", "executor.timeout_s=3",
        f"executor.basilica.lag_s={LAG_S + 0.2}",
    ]  # fmt: skip


def core(words: list[str], cwd: Path) -> subprocess.Popen[bytes]:
    """A controller."""
    errors = (cwd / "controllers.log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "core", *words],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )


def recorded(directory: Path) -> list[ev.Event]:
    """The events of a study; none while its journal is being made."""
    with contextlib.suppress(Exception), Journal.open(directory / "journal.db", readonly=True) as journal:
        return [entry.event for entry in journal.entries()]
    return []


def begun(directory: Path, controller: subprocess.Popen[bytes]) -> bool:
    """Wait until this controller has taken the study; False if it has ended."""
    while controller.poll() is None:
        if any(
            isinstance(event, ev.ControllerStarted) and event.pid == controller.pid for event in recorded(directory)
        ):
            return True
        time.sleep(0.05)
    return False


def books(directory: Path) -> dict[str, float]:
    """What the journal of a study says: finished trials, those proposed that never ended, jobs
    recorded as run twice, money charged."""
    events = recorded(directory)
    ended = [event for event in events if isinstance(event, ev.JobEnded)]
    successes = Counter((event.trial, event.phase) for event in ended if event.state == "succeeded")
    ends = Counter(event.token for event in ended)
    trials = Counter(event.trial for event in events if isinstance(event, ev.TrialEnded))
    return {
        "trials": len(trials), "repeated": sum(n - 1 for n in (*successes.values(), *ends.values(), *trials.values())),
        "charged": sum(event.usd for event in events if isinstance(event, ev.BudgetSettled)),
        "lost": len({event.trial for event in events if isinstance(event, ev.TrialProposed)} - trials.keys()),
        "unpaid": TRIALS + 1 - len(trials),
    }  # fmt: skip


def image(folder: Path) -> None:
    """What the machines' image provides besides this environment: a GPU that answers."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-0)'\n")
    (folder / "nvidia-smi").chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def main() -> int:
    """Print one JSON line with the counts; exit code 1 if any promise was broken."""
    kills_wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    dice, kills, studies, began = random.Random(seed), 0, [], time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="cloud-kills-"))
    image(place / "image")
    os.environ |= {
        "BASILICA_API_TOKEN": "basilica_stub",
        "OVERNIGHT_CACHE": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    os.environ["XDG_STATE_HOME"] = str(place / "state")
    price = ["A100=3600"]
    with BasilicaStub(place / "cloud", lag_s=LAG_S, boot_s=0.05, backoff_s=0.5, grace_s=0.1, price=price) as stub:
        os.environ["BASILICA_API_URL"] = stub.url
        for number, rule in enumerate(FAULTS):
            stub.admin(rules=[{"times": 10**9, "seed": seed + number, **rule}])
        for number, fate in enumerate(FATES):
            stub.admin(fates=[{"times": 10**9, "seed": seed + 100 + number, **fate}])
        words: list[str] | None = None
        while kills < kills_wanted or words is not None:
            if words is None:
                studies.append(place / f"study-{len(studies) + 1}")
                words = study_words(studies[-1], stub)
            controller = core(words, place)
            if kills >= kills_wanted:
                stub.behave()  # the last controller finishes in peace
                if controller.wait() != 0:
                    print(f"the last controller ended with {controller.returncode}: see {place}", file=sys.stderr)
                    return 1
            elif begun(studies[-1], controller):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    controller.wait(dice.uniform(0.1, 6.0))
                if controller.poll() is None:
                    controller.send_signal(signal.SIGKILL)
                    controller.wait()
                    kills += 1
                    if kills % 20 == 0:
                        print(
                            f"{kills} kills, {len(studies)} studies, {len(stub.machines())} machines", file=sys.stderr
                        )
            over = any(isinstance(event, ev.StudyFinished) for event in recorded(studies[-1]))
            words = None if over else (["resume", str(studies[-1])] if recorded(studies[-1]) else words)
        machines = stub.machines()
        ledger = [books(directory) for directory in studies]
        bill, charged = sum(m["usd"] for m in machines), sum(each["charged"] for each in ledger)
        found = {
            "kills": kills, "studies": len(studies), "machines": len(machines),
            "injected": stub.admin()["injected"], "orphans": stub.orphans(),
            "lost": sum(each["lost"] for each in ledger), "repeated": sum(each["repeated"] for each in ledger),
            "trials_that_the_budget_did_not_pay_for": sum(each["unpaid"] for each in ledger),
            "bill_usd": round(bill, 2), "charged_usd": round(charged, 2), "charged_over_bill": round(charged / bill, 4),
            "most_charged_of_cap": round(max(each["charged"] for each in ledger) / CAP_USD, 3),
            "longest_life_s": round(max(m["seconds"] for m in machines), 1),
            "minutes": round((time.monotonic() - began) / 60, 1), "seed": seed, "place": str(place),
        }  # fmt: skip
    print(json.dumps(found))
    return int(any(found[key] for key in ("orphans", "lost", "repeated")) or bill > charged * 1.001)


if __name__ == "__main__":
    sys.exit(main())
