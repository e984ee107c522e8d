"""The W&B client of one study: opens and finishes runs, online while W&B answers, offline otherwise."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from overnight_tracker_wandb.config import WandbConfig

if TYPE_CHECKING:
    import wandb
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


class WentOffline(Exception):
    """W&B was given up: the client was started anew, offline, and every earlier run handle is void.
    The message says why, for people."""


@dataclass
class Session:
    """One study's use of the W&B client, whose state is global to the process.

    folder: what holds `wandb/`. group: of every run. mode: what the next run will be. url: of
    the study's run, once it was online. unsent: folders of online runs that were not wholly uploaded.
    """

    config: WandbConfig
    folder: Path
    group: str
    mode: Mode = "offline"
    url: str | None = None
    wrote_offline: bool = False
    unsent: set[str] = field(default_factory=set)
    _lost: str | None = None  # why the server seems gone, as a finishing thread found
    _open: "dict[str, Run]" = field(default_factory=dict)
    _finishing: dict[str, threading.Thread] = field(default_factory=dict)
    _environment: list[str] = field(default_factory=list)

    @property
    def wandb_folder(self) -> Path:
        """Where the runs are written."""
        return self.folder / "wandb"

    def start(self) -> str | None:
        """Load the client and choose the mode. Raises OSError where nothing can be written.

        Returns what a person should hear of: online was asked for, but is not possible.
        """
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
        if "WANDB_SERVICE" not in os.environ:  # the client sets it, and a dead one leaves it
            self._environment.append("WANDB_SERVICE")
        settings = self._setup()
        if settings.mode == "disabled":
            self.mode = "disabled"
        elif self.config.mode == "offline" or (self.config.mode == "auto" and settings.mode in ("offline", "dryrun")):
            self.mode = "offline"
        elif _has_credentials(settings):
            self.mode = "online"
        elif self.config.mode == "online":
            return (
                f"trackers.wandb.mode is online, but there are no credentials for {settings.base_url}: set "
                f"WANDB_API_KEY or run `wandb login`; runs are written offline to {self.wandb_folder}"
            )
        return None

    def check(self) -> None:
        """Raises WentOffline if an upload in the background found that W&B is gone."""
        if self._lost and self.mode == "online":
            self._go_offline(self._lost)

    def open(self, spec: RunSpec) -> "Run":
        """Start a run, or continue the one of that id. Raises WentOffline when W&B does not take
        it within `init_timeout_s`; the next call then writes an offline run."""
        if thread := self._finishing.pop(spec.id, None):
            thread.join(self.config.finish_timeout_s + _GRACE_S)
            self.check()
        if self.mode != "online":
            self.wrote_offline = True
            run = self._init(spec, "offline")
        else:
            try:
                run = self._init(spec, "online")
            except Exception as error:  # noqa: BLE001 - the client raises many kinds; each means "not online"
                self._go_offline(f"W&B did not take run {spec.id} ({_one_line(error)})")
            if spec.job_type == "study":
                self.url = run.url
        self._open[spec.id] = run
        return run

    def call(self, what: str, action: Callable[[], None]) -> None:
        """Run what asks the server and waits, at most `init_timeout_s`. Raises WentOffline when
        it fails or takes longer."""
        if self.mode != "online":
            action()
            return
        errors: list[str] = []

        def work() -> None:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                errors.append(_one_line(error))

        thread = threading.Thread(target=work, name="wandb-call", daemon=True)
        thread.start()
        thread.join(self.config.init_timeout_s)
        if thread.is_alive():
            errors.append(f"no answer within {self.config.init_timeout_s:g} s")
        if errors:
            self._go_offline(f"W&B did not take {what} ({errors[0]})")

    def finish(self, run: "Run", exit_code: int = 0) -> None:
        """End a run without waiting for its upload; `close` waits."""
        thread = threading.Thread(target=self._finish, args=(run, exit_code), name=f"wandb-{run.id}", daemon=True)
        self._open.pop(run.id, None)
        self._finishing[run.id] = thread
        thread.start()

    def close(self) -> None:
        """Wait for uploads, at most `finish_timeout_s` and a few seconds, and stop the client."""
        self._stop()
        while self._environment:
            os.environ.pop(self._environment.pop(), None)

    def _setup(self) -> "wandb.Settings":
        import wandb

        quiet = wandb.Settings(silent=True, quiet=True, show_warnings=False, show_errors=False)
        return wandb.setup(quiet).settings

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
            if not run.offline:
                self.unsent.add(str(folder))
                self._lost = f"W&B did not take the rest of run {run.id} ({_one_line(error)})"

    def _stop(self) -> None:
        """Finish what is open, wait a bounded time, end the client's process."""
        deadline = time.monotonic() + self.config.finish_timeout_s + _GRACE_S
        for run in list(self._open.values()):
            self.finish(run, exit_code=1)
        for thread in self._finishing.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._finishing.clear()
        stopping = threading.Thread(target=_teardown, name="wandb-teardown", daemon=True)
        stopping.start()
        stopping.join(max(_GRACE_S, deadline - time.monotonic()))

    def _go_offline(self, why: str) -> NoReturn:
        # A run that failed to start keeps its id taken in the client's process, and a run cannot
        # change its mode: only a new process can go on with the same ids.
        self.mode = "offline"
        self._stop()
        if "WANDB_SERVICE" in self._environment:
            os.environ.pop("WANDB_SERVICE", None)
        self._setup()
        raise WentOffline(f"{why}; runs are written offline to {self.wandb_folder} from now on")


def _teardown() -> None:
    import wandb

    with contextlib.suppress(ConnectionError):  # its process died earlier: nothing is left to stop
        wandb.teardown()


def _has_credentials(settings: Any) -> bool:
    # The client's own order: environment, netrc, settings file. Without a look first, it would
    # ask at the terminal for a key.
    from wandb.sdk.lib import wbauth

    if settings.api_key or settings.identity_token_file:
        return True
    return bool(wbauth.read_netrc_auth(host=settings.base_url))


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
