"""What plugins see of a study: the policy's view and the trackers' snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.contracts.objective import Objective
from core.contracts.program import Program
from core.contracts.proposal import Proposal
from core.contracts.purse import Purse
from core.contracts.space import Space
from core.contracts.trial import Trial


@dataclass(frozen=True)
class BudgetView:
    """What is left to spend; None means no limit was set.

    trials: trials that may still be proposed. seconds: wall-clock seconds. usd: US dollars.
    gpu_hours: GPU-hours.
    """

    trials: int | None = None
    seconds: float | None = None
    usd: float | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True)
class StudyView:
    """What a policy may base a proposal on.

    seed: the study's seed; the only source of randomness a policy should use.
    baseline: trial 0, once evaluated. trials: ended trials (not the baseline), in the order in
    which they ended. running: trials proposed and not ended, by number. purse: for policies that
    spend money themselves; None where nothing can be spent (a view made by hand). program: the task's
    editable program, to which patches are; None where the task has none. directory: the study's, for
    what stands in files there (logs of trials, what a person wrote for the policy), or None.
    """

    space: Space
    objective: Objective
    seed: int
    baseline: Trial | None = None
    trials: tuple[Trial, ...] = ()
    running: tuple[Trial, ...] = ()
    incumbent: int | None = None
    budget: BudgetView = field(default_factory=BudgetView)
    purse: Purse | None = field(default=None, compare=False, repr=False)
    program: Program | None = field(default=None, repr=False)
    directory: Path | None = field(default=None, compare=False)

    @property
    def proposed(self) -> int:
        """How many trials were proposed so far: the index of the next proposal."""
        return len(self.trials) + len(self.running)

    def with_running(self, proposals: Sequence[Proposal]) -> "StudyView":
        """The view as if these ran too: for a policy that hands over to another what it did not fill itself."""
        trials = (Trial(self.proposed + 1 + place, proposal) for place, proposal in enumerate(proposals))
        return replace(self, running=(*self.running, *trials))


@dataclass(frozen=True)
class Study:
    """A snapshot of a study for trackers and notifiers, fresh at every hook call.

    id: unique and stable over resumes (safe in file names and URLs). name: for people.
    directory: the study directory; `directory / "best"` is the incumbent's checkpoint once
    there is one. task, policy, executor: plugin names. config: the resolved configuration.
    incumbent: number of the incumbent trial (0 = still the baseline). trials: every trial so
    far, the baseline first. resumed: whether this controller continued an earlier one.
    finished: why the study ended, or None while it runs.
    """

    id: str
    name: str
    directory: Path
    task: str
    policy: str
    executor: str
    objective: Objective
    seed: int
    config: dict[str, Any] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    incumbent: int = 0
    resumed: bool = False
    finished: str | None = None
    seconds: float = 0.0
    usd: float = 0.0
    gpu_hours: float = 0.0

    def trial(self, number: int) -> Trial:
        """The trial of that number. Raises KeyError if there is none."""
        if 0 <= number < len(self.trials) and self.trials[number].number == number:
            return self.trials[number]
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise KeyError(number)
