"""What a journal says when folded: the facts that console, report and status show."""

from dataclasses import dataclass, field
from typing import Literal

from core.contracts import Certificate, Preflight, Space, Study

StudyState = Literal["running", "killed", "interrupted", "finished"]


@dataclass(frozen=True)
class Notice:
    """Something skipped, fallen back on or broken: shown in the output and in the report."""

    text: str
    elapsed_s: float
    trial: int | None = None


@dataclass(frozen=True)
class Limits:
    """The study's budget; None = no limit. trials counts proposals, not the baseline."""

    trials: int | None = None
    wall_clock_s: float | None = None
    usd: float | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True)
class RunningJob:
    """A job that was submitted and has not ended, as far as the journal knows. since: Unix seconds.
    usd_per_hour: what it is billed at, in US dollars."""

    token: str
    trial: int
    phase: str
    attempt: int
    since: float
    hardware: str
    usd_per_hour: float


@dataclass(frozen=True)
class StudyFacts:
    """Everything known of a study at one moment.

    study: the snapshot that trackers get too (trials, incumbent, spent seconds/usd/gpu_hours).
    phases: what each running trial is doing: trial number → "train", "validation", "test".
    policy_usd: US dollars that the policy itself spent. jobs: what runs, and is billed, now.
    plan: how many trials at which cost, in one sentence.
    preflight: what the task measured before the first trial, if it measures anything.
    created_at, updated_at: Unix seconds of the first and last event. controllers: how many
    controllers worked on it (1 = never resumed). test_opened: trials whose test score was looked at;
    test_openings: how often the test split was opened. certification: its plan, or why there is none.
    certificate: of the incumbent last certified. fresh: the trials that repeat it with fresh seeds.
    set_aside: how many validation items selection does not see.
    state: "running", "killed" (its controller is gone without a word), "interrupted" (stopped in
    good order) or "finished".
    """

    study: Study
    space: Space
    limits: Limits
    state: StudyState = "running"
    notices: tuple[Notice, ...] = ()
    phases: dict[int, str] = field(default_factory=dict)
    policy_usd: float = 0.0
    jobs: tuple[RunningJob, ...] = ()
    plan: str = ""
    preflight: Preflight | None = None
    versions: dict[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    updated_at: float = 0.0
    controllers: int = 1
    test_opened: tuple[int, ...] = ()
    test_openings: int = 0
    certificate: Certificate | None = None
    certification: str = ""
    fresh: tuple[int, ...] = ()
    set_aside: int = 0
