"""Job folders: what is brought home of a job is regular files of its own, whatever it left."""

import os
from pathlib import Path

from core import Job
from overnight_jobs import folder


def test_links_become_files_and_those_that_lead_out_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not for the next attempt")
    job, checkpoint = tmp_path / "job", tmp_path / "job" / "checkpoint"
    (checkpoint / "step-100").mkdir(parents=True)
    (checkpoint / "step-100" / "weights").write_text("w")
    (checkpoint / "best").symlink_to(checkpoint / "step-100" / "weights")
    (checkpoint / "leak").symlink_to(tmp_path / "secret.txt")
    (checkpoint / "leaks").symlink_to(tmp_path)
    (checkpoint / "nowhere").symlink_to(checkpoint / "gone")
    os.mkfifo(checkpoint / "pipe")
    (job / "log.txt").write_text("done")
    brought = folder.bring(job, ("checkpoint", "absent"), tmp_path / "home")
    assert set(brought.files) == {"checkpoint/step-100/weights", "checkpoint/best", "log.txt"}
    home = tmp_path / "home" / "checkpoint"
    assert (home / "best").read_text() == "w"
    assert not [path for path in home.rglob("*") if path.is_symlink() or path.name in ("pipe", "leak", "leaks")]
    given = Job("s/2", "s", ("true",), files={"resume": home})
    folder.make(tmp_path / "next", given, {})
    assert (tmp_path / "next" / "resume" / "best").read_text() == "w"


def test_an_empty_folder_is_an_output_too(tmp_path: Path) -> None:
    (tmp_path / "job" / "checkpoint").mkdir(parents=True)
    folder.bring(tmp_path / "job", ("checkpoint",), tmp_path / "home")
    assert (tmp_path / "home" / "checkpoint").is_dir()
