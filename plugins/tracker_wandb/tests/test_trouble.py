"""What breaks on this machine is reported once, and leaves readable files and nothing running."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
from story import whole_story
from wandb_files import written_runs

STUDY = "arithmetic-20261123-ab12"


def test_an_unwritable_directory_is_reported_once_and_then_nothing_happens(tell, directory):
    (directory / "wandb").write_text("in the way")
    story = tell()
    whole_story(story)
    (problem,) = story.problems
    assert "could not start (FileExistsError" in str(problem)
    assert "after which nothing more was shown" in story.tracker.notes()[0]


def test_a_service_that_dies_is_reported_once_and_then_nothing_happens(tell):
    story = tell()
    story.start()
    story.propose(0)
    (service,) = [child for child in psutil.Process().children() if "wandb" in child.name()]
    service.kill()
    service.wait()
    for number in range(1, 6):
        story.propose(number)
        story.report(number, 0, loss=1.0)
        story.complete(number, 0.1 * number)
    story.finish()
    assert len(story.problems) <= 2
    assert "updates failed, after which nothing more was shown" in story.tracker.notes()[-1]


KILLED = """
import os, psutil, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from story import Story
from overnight_tracker_wandb.tracker import WandbConfig, WandbTracker
story = Story(WandbTracker(WandbConfig()), Path(sys.argv[1]))
story.start()
story.propose(0)
story.complete(0, 0.3)
story.propose(1)
for step in range(5):
    story.report(1, step, loss=1.0)
time.sleep(1.5)  # the client writes once a second
story.propose(2)
for step in range(2000):
    story.report(2, step, loss=1.0)
print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_controller_leaves_readable_files_and_nothing_running(directory):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(directory), str(Path(__file__).parent)], capture_output=True, text=True
    )
    assert killed.returncode == -9, killed.stderr
    runs = written_runs(directory / "wandb")
    assert [row["trial"] for row in runs[STUDY].history] == [0]
    assert [row["train/step"] for row in runs[f"{STUDY}-0001"].history] == [0, 1, 2, 3, 4]
    assert runs[STUDY].exit_code is None
    clients = [int(pid) for pid in killed.stdout.split()]
    assert clients
    deadline = time.monotonic() + 10
    while any(running(pid) for pid in clients) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(running(pid) for pid in clients)


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
