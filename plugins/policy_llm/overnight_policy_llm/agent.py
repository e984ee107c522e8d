"""Policy `agent`: takes the proposals that a coding agent outside queues through `python -m core mcp DIR`."""

import time

from pydantic import Field

from core import (
    InvalidParams,
    InvalidPatch,
    PluginConfig,
    Proposal,
    Request,
    SetupError,
    StudyView,
    Trial,
    end_requested,
    queued_requests,
    recorded_study,
)

_LOOK_S = 0.1  # between looks at the queue
_JOURNAL_S = 2.0  # between looks at whether the trials of the view still run


class AgentPolicy:
    """Waits for proposals of a coding agent (over MCP), under the study's own budget and rules."""

    class Config(PluginConfig):
        """wait_s: seconds to wait for a proposal while nothing runs; then the study ends.
        default_first: whether trial 1 is the task as its author has it."""

        wait_s: float = Field(default=3600.0, ge=0)
        default_first: bool = True

    takes_requests = True  # see core.contracts.requests

    def __init__(self, config: Config) -> None:
        self._config = config
        self._notices: list[str] = []
        self._refused: set[str] = set()

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy. The queue is part of the study directory: with the same one and the
        same view it answers the same, since the trials say which requests were taken."""
        if self._config.default_first and view.proposed == 0:
            return [Proposal(view.space.defaults(), rationale="default configuration")]
        if view.directory is None:
            return []
        began, running = time.monotonic(), bool(view.running)
        idle_since, looked = began, began
        while True:
            if found := self._open(view)[:n]:
                return [request.proposal() for request in found]
            now = time.monotonic()
            if running and now >= looked + _JOURNAL_S:
                looked, running = now, _still(view)
            if running:
                idle_since = now
            # An empty answer ends the study once nothing runs, so it is given for a reason only.
            late = now - idle_since >= self._config.wait_s
            spent = view.budget.seconds is not None and now - began >= view.budget.seconds
            if late or spent or end_requested(view.directory) or getattr(view.purse, "closed", False):
                return []
            time.sleep(_LOOK_S)

    def tell(self, trial: Trial) -> None:
        """The agent reads the journal itself."""

    def notices(self) -> list[str]:
        """See core.contracts.HasNotices."""
        said, self._notices = self._notices, []
        return said

    def _open(self, view: StudyView) -> list[Request]:
        """Requests that no trial is of yet, and that can be tried."""
        assert view.directory is not None
        trials = (*view.trials, *view.running)
        waiting = [request for request in queued_requests(view.directory) if not request.is_in(trials)]
        return [request for request in waiting if self._is_sound(view, request)]

    def _is_sound(self, view: StudyView, request: Request) -> bool:
        try:
            view.space.check(request.params)
            if request.patch is not None:
                if view.program is None:
                    raise InvalidPatch("this task has no program that a patch could change")
                view.program.patched(request.patch)
        except (InvalidParams, InvalidPatch) as error:
            if request.id not in self._refused:
                self._refused.add(request.id)
                self._notices.append(f"request {request.id} is left out: {error}")
            return False
        return True


def _still(view: StudyView) -> bool:
    """Whether one of the view's running trials runs now; the study goes on while its policy waits."""
    assert view.directory is not None
    try:
        now = {trial.number: trial.status for trial in recorded_study(view.directory).trials}
    except SetupError:
        return True
    return any(now.get(trial.number, "running") == "running" for trial in view.running)
