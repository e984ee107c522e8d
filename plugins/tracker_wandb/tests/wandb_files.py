"""Reads offline W&B runs back, so that tests see what was really written."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb_run import LoggedRun
from wandb_server import WandbServer

from overnight_tracker_wandb.transaction_log import item_key, records


@dataclass
class WrittenRun(LoggedRun):
    """One run as its `.wandb` files have it, the parts of a resumed run put together."""

    parts: int = 0


def written_runs(folder: Path) -> dict[str, WrittenRun]:
    """The offline runs under a `wandb` folder, by id."""
    runs: dict[str, WrittenRun] = {}
    for path in sorted(folder.glob("offline-run-*/run-*.wandb")):
        run = runs.setdefault(path.stem.removeprefix("run-"), WrittenRun())
        run.parts += 1
        for record in records(path):
            _add(run, record)
    return runs


def _add(run: WrittenRun, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        told = record.run
        run.id, run.project, run.group, run.job_type = told.run_id, told.project, told.run_group, told.job_type
        run.name, run.tags = told.display_name, list(told.tags)
        run.config.update({item_key(item): json.loads(item.value_json) for item in told.config.update})
    elif kind == "history":
        run.history.append({item_key(item): json.loads(item.value_json) for item in record.history.item})
    elif kind == "summary":
        run.summary.update({item_key(item): json.loads(item.value_json) for item in record.summary.update})
    elif kind == "artifact":
        told = record.artifact
        metadata = json.loads(told.metadata) if told.metadata else {}
        files = {entry.path: entry.local_path for entry in told.manifest.contents}
        run.artifacts.append(
            {"name": told.name, "type": told.type, "aliases": list(told.aliases), "metadata": metadata, "files": files}
        )
    elif kind == "exit":
        run.exit_code = record.exit.exit_code
    elif kind == "preempting":
        run.preempting = True


def written_table(folder: Path, run: WrittenRun, key: str) -> dict[str, Any]:
    """The table that a run's summary points at: {"columns": [...], "data": [[...], ...]}."""
    name = run.summary[key]["path"]
    (path,) = list(folder.glob(f"offline-run-*-{run.id}*/files/{name}"))[-1:]
    return json.loads(path.read_text())


def sync(server: WandbServer, *folders: str, command: tuple[str, ...] = ("sync",)) -> None:
    """Upload runs as a person would, with the line that `notes` gave."""
    program = [sys.executable, "-m", "wandb", *command, *folders]
    done = subprocess.run(program, env={**os.environ, **server.environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
