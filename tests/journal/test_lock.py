"""The study lock: one controller at a time, freed by death."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StudyBusy
from core.journal.lock import controller_lock

_HOLDER = """
import sys, time
from pathlib import Path
from core.journal.lock import controller_lock
with controller_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_controller_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with (
        controller_lock(tmp_path),
        pytest.raises(StudyBusy, match=f"process {os.getpid()} on"),
        controller_lock(tmp_path),
    ):
        pass


def test_the_lock_of_a_killed_controller_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StudyBusy, match=f"process {holder.pid}"), controller_lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with controller_lock(tmp_path):
        pass
