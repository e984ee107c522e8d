"""Places that a person opens to confined jobs, checked."""

from pathlib import Path

from core import SetupError
from overnight_jobs.far.places import holds


def refuse_wide(workspace: Path, writable: tuple[str, ...]) -> None:
    """Raises SetupError for a path in `writable` that would open the whole study."""
    for path in writable:
        if holds(Path(path).expanduser().absolute(), workspace):
            raise SetupError(
                f"executor.writable: {path} holds the study, so that trials could write in each other's folders; "
                "name a path beside the study, or turn confinement off with executor.confine=off"
            )
