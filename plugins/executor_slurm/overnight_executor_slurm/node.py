"""Runs on a node, as the job: completes its order with what only the node knows, then becomes its supervisor.

`python -I -S node.py JOBDIR`, with the standard library only, beside the supervisor and its companions.
"""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import files
import places

# Of Slurm and of the shell: programs that find them would take part in Slurm's own parallel launch.
_NOT_THE_JOBS = ("SLURM", "SBATCH_", "SRUN_", "PMI")
_SHELL = frozenset(("PWD", "OLDPWD", "SHLVL", "_"))
_KEPT = frozenset(("SLURM_JOB_ID", "SLURM_JOB_GPUS"))


def environment(here: Mapping[str, str], order: Mapping[str, Any]) -> dict[str, str]:
    """What the job sees: what the batch script's environment became after its prologue, and its own."""
    env = {
        name: value
        for name, value in here.items()
        if name not in _SHELL and (name in _KEPT or not name.startswith(_NOT_THE_JOBS))
    }
    if not order["gpus"]:
        env["CUDA_VISIBLE_DEVICES"] = ""  # a job without GPUs never takes another's
    return env | order["env"]


def main(folder: str) -> None:
    """Never returns where the job is to run."""
    place = Path(folder)
    os.chdir(place)
    mine = os.environ.get("SLURM_JOB_ID", "")
    try:
        # A folder has one run: of two jobs that a lost answer made, or of one that was requeued.
        os.close(os.open("claimed", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        print(f"overnight: {place.name} has been started before; job {mine} does nothing", file=sys.stderr)
        return
    order = files.read(place / "order.json")
    if order is None:
        sys.exit(f"overnight: {place}/order.json cannot be read on {socket.gethostname()}")
    env = environment(os.environ, order)
    if order["confine"] is not None:
        workspace = place.parent
        order["confine"] = places.confinement(workspace, place, env, tuple(order["confine"]["writable"]))
        if tmp := places.private_tmp(workspace, place):
            tmp.mkdir(mode=0o700, exist_ok=True)
            order["tmp"] = str(tmp)
    files.write(place / "order.json", {**order, "env": env})
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    files.write(place / "node.json", {"job": mine, "node": node, "gpus": env.get("CUDA_VISIBLE_DEVICES", "")})
    nobody = os.open(os.devnull, os.O_RDONLY)  # where a supervisor that is not detached watches its controller
    os.set_inheritable(nobody, True)
    supervisor = str(Path(__file__).resolve().with_name("supervisor.py"))
    os.execv(sys.executable, [sys.executable, "-I", "-S", supervisor, folder, str(nobody)])


if __name__ == "__main__":
    main(sys.argv[1])
