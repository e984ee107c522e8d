"""The events of a journal: everything that ever happens to a study, as typed values."""

from dataclasses import dataclass, field
from typing import Any, Literal

from core.contracts import Certificate, Decision, Evaluation, Handle, JobState, Preflight, Proposal, Split, TrialStatus
from core.contracts.objective import Objective

Phase = Literal["prepare", "train", "validation", "test"]


@dataclass(frozen=True)
class StudyCreated:
    """The first event: what the study is. `config` is the whole resolved configuration,
    `space` the search space as plain data, `versions` of Overnight and of what it ran on."""

    study_id: str
    name: str
    objective: Objective
    space: dict[str, Any]
    seed: int
    config: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ControllerStarted:
    """A controller process took the study: the first one, or one that resumed it."""

    pid: int
    host: str
    resumed: bool
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class PlanMade:
    """What a controller said before it started anything: how many trials, what they cost at most.
    usd_per_hour: of one job, in US dollars, on `hardware`."""

    text: str
    hardware: str
    usd_per_hour: float


@dataclass(frozen=True)
class TrialProposed:
    """A proposal became a trial. Trial 0 is the baseline."""

    trial: int
    proposal: Proposal


@dataclass(frozen=True)
class BudgetReserved:
    """The worst case of one job was set aside before it was submitted; or, without a trial, that of
    something that the policy pays for."""

    token: str
    trial: int | None
    seconds: float
    usd: float
    gpu_hours: float


@dataclass(frozen=True)
class BudgetSettled:
    """What that job really took. A job that is billed until its machine is gone has a second one,
    which closes its bill; then the rest of its reservation is free again."""

    token: str
    trial: int | None
    seconds: float
    usd: float
    gpu_hours: float


@dataclass(frozen=True)
class JobIntended:
    """A job is about to be submitted under this token."""

    token: str
    trial: int
    phase: Phase
    attempt: int
    deadline_s: float


@dataclass(frozen=True)
class JobSubmitted:
    """The executor took the job."""

    token: str
    trial: int
    handle: Handle


@dataclass(frozen=True)
class JobEnded:
    """A job reached a terminal state and its outputs, if any, are in the study directory."""

    token: str
    trial: int
    phase: Phase
    attempt: int
    state: JobState
    exit_code: int | None = None
    reason: str = ""
    seconds: float = 0.0
    hardware: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PreflightDone:
    """The task measured what could spoil its runs, before the first trial."""

    trial: int
    preflight: Preflight


@dataclass(frozen=True)
class TrialEvaluated:
    """The sealed evaluator scored the trial's checkpoint (without the per-item scores, which
    the journal keeps beside its events)."""

    trial: int
    split: Split
    evaluation: Evaluation


@dataclass(frozen=True)
class TrialDecided:
    """The decision rule judged the trial."""

    trial: int
    decision: Decision


@dataclass(frozen=True)
class TrialEnded:
    """The trial is over; nothing of it runs any more."""

    trial: int
    status: TrialStatus
    error: str | None = None
    error_kind: str | None = None


@dataclass(frozen=True)
class IncumbentChanged:
    """The trial is the incumbent from now on."""

    trial: int
    previous: int


@dataclass(frozen=True)
class CertificationPlanned:
    """Before the first trial: how many fresh runs a leader is to be certified with, 0 = none, and
    which share of the validation items is set aside for that. text: the plan, or why there is none."""

    runs: int
    items_share: float
    text: str


@dataclass(frozen=True)
class ItemsSetAside:
    """With the baseline's evaluation: how many validation items selection does not see; why none."""

    items: int
    refusal: str | None = None


@dataclass(frozen=True)
class CertificationStarted:
    """The search is over (`reason`); these trials are about to repeat the incumbent with fresh seeds.
    The items set aside are looked at once they have all ended."""

    trial: int
    trials: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class TrialCertified:
    """The incumbent was certified, or could not be."""

    trial: int
    certificate: Certificate


@dataclass(frozen=True)
class TestReopened:
    """A person let a finished study go on, though its test split was looked at (--open-test-again)."""

    __test__ = False

    before: tuple[int, ...]


@dataclass(frozen=True)
class TestOpened:
    """The test split is about to be looked at, for these trials; happens once, and again only
    after TestReopened."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    trials: tuple[int, ...]


@dataclass(frozen=True)
class Noticed:
    """Something that a person must hear of: skipped, fallen back on, clamped, broken."""

    text: str
    trial: int | None = None


@dataclass(frozen=True)
class TrackersTold:
    """The trackers were told that the trial ended; they are not told again after a resume."""

    trial: int


@dataclass(frozen=True)
class StudyInterrupted:
    """The controller stopped in good order before the study's end; `resume` continues."""

    reason: str


@dataclass(frozen=True)
class StudyFinished:
    """The study is over for good."""

    reason: str


Event = (
    StudyCreated
    | ControllerStarted
    | PlanMade
    | TrialProposed
    | BudgetReserved
    | BudgetSettled
    | JobIntended
    | JobSubmitted
    | JobEnded
    | PreflightDone
    | TrialEvaluated
    | TrialDecided
    | TrialEnded
    | IncumbentChanged
    | CertificationPlanned
    | ItemsSetAside
    | CertificationStarted
    | TrialCertified
    | TestReopened
    | TestOpened
    | Noticed
    | TrackersTold
    | StudyInterrupted
    | StudyFinished
)


@dataclass(frozen=True)
class Entry:
    """One event as recorded. at: Unix seconds (for people only). elapsed_s: the study's own
    running time in seconds, monotonic and summed over resumes."""

    seq: int
    at: float
    elapsed_s: float
    event: Event
