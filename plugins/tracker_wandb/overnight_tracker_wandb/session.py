"""The W&B client of one study: opens and finishes runs, online while W&B answers, offline otherwise."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from overnight_tracker_wandb.config import WandbConfig

if TYPE_CHECKING:
    from wandb import Run

Mode = Literal["online", "offline", "disabled"]
_FLUSH_S = 1.0  # how much of an offline run a killed controller may cost, in seconds
_GRACE_S = 5.0  # what W&B's own timeouts may overrun before we stop waiting


@dataclass(frozen=True)
class RunSpec:
    """Everything that names a run. Sent in full each time: syncing a continued offline run
    replaces what an earlier part of it said."""

    id: str
    name: str
    job_type: Literal["study", "trial"]
    config: Mapping[str, Any]
    tags: tuple[str, ...]


@dataclass
class Session:
    """One study's use of the W&B client, whose state is global to the process.

    folder: what holds `wandb/`. group: of every run. mode: what the next run will be. problem:
    why W&B was given up for offline runs, until someone took it with `take_problem`.
    unsent: folders of online runs whose upload did not end in time.
    """

    config: WandbConfig
    folder: Path
    group: str
    mode: Mode = "offline"
    url: str | None = None
    wrote_offline: bool = False
    unsent: list[str] = field(default_factory=list)
    _problem: str | None = None
    _finishing: dict[str, threading.Thread] = field(default_factory=dict)
    _environment: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def wandb_folder(self) -> Path:
        """Where the runs are written."""
        return self.folder / "wandb"

    def start(self) -> None:
        """Load the client and choose the mode. Raises OSError where nothing can be written."""
        self.wandb_folder.mkdir(parents=True, exist_ok=True)
        # Without these the client writes to the home directory and reports its own errors to its
        # makers; whoever set them has their way.
        for name, value in {
            "WANDB_CACHE_DIR": str(self.wandb_folder / "cache"),
            "WANDB_DATA_DIR": str(self.wandb_folder / "data"),
            "WANDB_ERROR_REPORTING": "false",
        }.items():
            if name not in os.environ:
                self._environment.append(name)
                os.environ[name] = value
        import wandb

        settings = wandb.setup(wandb.Settings(silent=True, quiet=True, show_warnings=False, show_errors=False)).settings
        if settings.mode == "disabled":
            self.mode = "disabled"
        elif self.config.mode == "offline" or (self.config.mode == "auto" and settings.mode in ("offline", "dryrun")):
            self.mode = "offline"
        elif _has_credentials(settings):
            self.mode = "online"
        elif self.config.mode == "online":
            self._go_offline(
                f"trackers.wandb.mode is online, but there are no credentials for {settings.base_url}: "
                "set WANDB_API_KEY or run `wandb login`"
            )

    def open(self, spec: RunSpec) -> "Run":
        """Start a run, or continue the one of that id. Falls back to offline when W&B does not
        answer within `init_timeout_s`; takes a little longer than that at most."""
        self._wait_for(spec.id)
        if self.mode == "online":
            try:
                run = self._init(spec, "online")
            except Exception as error:  # noqa: BLE001 - the client raises many kinds; each means "not online"
                self._go_offline(f"W&B did not take run {spec.id} ({_one_line(error)})")
            else:
                if spec.job_type == "study":
                    self.url = run.url
                return run
        self.wrote_offline = True
        return self._init(spec, "offline")

    def finish(self, run: "Run", exit_code: int = 0) -> None:
        """End a run without waiting for its upload; `close` waits."""
        thread = threading.Thread(target=self._finish, args=(run, exit_code), name=f"wandb-{run.id}", daemon=True)
        self._finishing[run.id] = thread
        thread.start()

    def close(self) -> None:
        """Wait for uploads, at most `finish_timeout_s` and a few seconds, and stop the client."""
        deadline = time.monotonic() + self.config.finish_timeout_s + _GRACE_S
        for thread in self._finishing.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        stopping = threading.Thread(target=self._teardown, name="wandb-teardown", daemon=True)
        stopping.start()
        stopping.join(max(_GRACE_S, deadline - time.monotonic()))
        while self._environment:
            os.environ.pop(self._environment.pop(), None)

    def take_problem(self) -> str | None:
        """What a person has not been told yet."""
        with self._lock:
            problem, self._problem = self._problem, None
            return problem

    def _init(self, spec: RunSpec, mode: Literal["online", "offline"]) -> "Run":
        import wandb

        settings = wandb.Settings(
            mode=mode,
            root_dir=str(self.folder),
            # Trials run in parallel in one controller.
            reinit="create_new",
            init_timeout=self.config.init_timeout_s,
            finish_timeout=self.config.finish_timeout_s,
            finish_timeout_raises=True,
            console="off",
            silent=True,
            quiet=True,
            symlink=False,
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            # The controller's machine and command line (which may hold a secret) are not the
            # trial's; its CPU belongs to the training.
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_disable_stats=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=_FLUSH_S,
        )
        return wandb.init(
            settings=settings,
            project=self.config.project,
            entity=self.config.entity,
            id=spec.id,
            name=spec.name,
            group=self.group,
            job_type=spec.job_type,
            config=dict(spec.config),
            tags=spec.tags,
            resume="allow",
        )

    def _finish(self, run: "Run", exit_code: int) -> None:
        folder = Path(run.dir).parent
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:  # noqa: BLE001 - whatever it is, the data is on disk and the study goes on
            with self._lock:
                self.unsent.append(str(folder))
            self._go_offline(f"W&B did not take the rest of run {run.id} ({_one_line(error)})")

    def _teardown(self) -> None:
        import wandb

        try:
            wandb.teardown()
        except Exception as error:  # noqa: BLE001 - the client's own process died; nothing is left to stop
            self._go_offline(f"W&B's client did not stop in good order ({_one_line(error)})")

    def _wait_for(self, run_id: str) -> None:
        thread = self._finishing.pop(run_id, None)
        if thread is not None:
            thread.join(self.config.finish_timeout_s + _GRACE_S)

    def _go_offline(self, why: str) -> None:
        with self._lock:
            self.mode = "offline"
            self._problem = f"{why}; runs are written offline to {self.wandb_folder} from now on"


def _has_credentials(settings: Any) -> bool:
    # The client's own order: environment, netrc, settings file. Without a look first, it would
    # ask at the terminal for a key.
    from wandb.sdk.lib import wbauth

    if settings.api_key or settings.identity_token_file:
        return True
    return bool(wbauth.read_netrc_auth(host=settings.base_url))


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
