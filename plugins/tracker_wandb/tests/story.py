"""A study as trackers experience it: snapshots that grow, hooks in the order in which core calls them."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy

from core import Decision, Evaluation, Objective, Proposal, Study, Tracker, Trial, hookspecs


class Story:
    """Tells a tracker, through Pluggy as core does, what happens in a study.

    tracker: may be replaced, as a resumed controller does. problems: what hooks raised.
    """

    def __init__(self, tracker: Tracker, directory: Path, id: str = "arithmetic-20261123-ab12") -> None:
        self.study = Study(
            id=id,
            name="arithmetic",
            directory=directory,
            task="grpo_arithmetic",
            policy="tpe",
            executor="local",
            objective=Objective("accuracy"),
            seed=1,
            config={"seed": 1, "policy": {"name": "tpe", "api_key": "sk-very-secret"}, "limit": math.inf},
        )
        self.trials: dict[int, Trial] = {}
        self.incumbent = 0
        self.clock = 0.0
        self.problems: list[Exception] = []
        self.listen(tracker)

    def listen(self, tracker: Tracker) -> None:
        """Tell another tracker from now on."""
        self.tracker = tracker
        manager = pluggy.PluginManager("overnight")
        manager.add_hookspecs(hookspecs)
        manager.register(tracker)
        manager.check_pending()
        self._hook = manager.hook

    def snapshot(self, **changes: Any) -> Study:
        """The study as it stands now."""
        trials = tuple(self.trials[number] for number in sorted(self.trials))
        spent = sum(trial.seconds for trial in trials)
        now = replace(self.study, trials=trials, incumbent=self.incumbent, seconds=spent)
        return replace(now, **changes)

    def start(self, resumed: bool = False) -> None:
        self._tell(self._hook.study_started, study=self.snapshot(resumed=resumed))

    def propose(self, number: int, **params: Any) -> None:
        proposal = Proposal(
            params=params or {"lr": 10.0**-number, "batch": 2**number}, seed=number, rationale="why not"
        )
        self.trials[number] = Trial(number, proposal, started_s=self.clock)
        self._tell(self._hook.trial_proposed, study=self.snapshot(), trial=self.trials[number])

    def report(self, number: int, step: int, **metrics: float) -> None:
        trial = self.trials[number]
        self._tell(self._hook.trial_reported, study=self.snapshot(), trial=trial, step=step, metrics=metrics)

    def retry(self, number: int) -> None:
        """The trial's machine was lost: its job starts again."""
        self.trials[number] = replace(self.trials[number], attempt=self.trials[number].attempt + 1)

    def complete(self, number: int, value: float, keep: bool = False) -> None:
        """Score a trial; `keep` makes it the incumbent, with a checkpoint."""
        decision = Decision("keep" if keep else "discard", "better" if keep else "no better", {"gain": 0.1})
        self._end(
            number,
            status="completed",
            evaluation=evaluation(value),
            decision=decision if number else None,
            metrics={"loss": 0.5},
        )
        if keep:
            self.incumbent = number
            self.point_best_at(number)
            self._tell(self._hook.incumbent_changed, study=self.snapshot(), trial=self.trials[number])

    def fail(self, number: int, error: str = "ValueError: loss is NaN") -> None:
        self._end(number, status="failed", error=error, error_kind="exception")

    def told_again(self, number: int) -> None:
        self._tell(self._hook.trial_finished, study=self.snapshot(), trial=self.trials[number])

    def finish(self, reason: str | None = "12 trials done") -> None:
        """Open the test split if the study ended for good (a reason), then say that it is over."""
        if reason:
            for number in {0, self.incumbent} & set(self.trials):
                self.trials[number] = replace(self.trials[number], test=evaluation(0.4 + 0.1 * number, "test"))
        self._tell(self._hook.study_finished, study=self.snapshot(finished=reason))

    def point_best_at(self, number: int) -> None:
        checkpoint = self.study.directory / "trials" / f"{number:04d}" / "checkpoint"
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / "model.safetensors").write_bytes(f"weights of {number}".encode())
        best = self.study.directory / "best"
        best.unlink(missing_ok=True)
        best.symlink_to(checkpoint.relative_to(self.study.directory))

    def _end(self, number: int, **changes: Any) -> None:
        self.clock += 1.0
        changes |= {"ended_s": self.clock, "seconds": 1.5, "usd": 0.25}
        self.trials[number] = replace(self.trials[number], **changes)
        self.told_again(number)

    def _tell(self, hook: Callable[..., Any], **arguments: Any) -> None:
        try:
            hook(**arguments)
        except Exception as error:  # noqa: BLE001 - as core's notifier: collected, the story goes on
            self.problems.append(error)


def evaluation(value: float, split: Any = "validation") -> Evaluation:
    return Evaluation(split, "accuracy", value, n=200, low=value - 0.05, high=value + 0.05, details={"format": 0.9})


def whole_story(story: Story) -> None:
    """A baseline, three trials of which two run at once and one fails, a new incumbent, the end."""
    story.start()
    story.propose(0)
    story.complete(0, 0.30)
    story.propose(1)
    story.propose(2)
    for step in range(5):
        story.report(1, step, loss=1.0 / (step + 1), reward=0.1 * step)
        story.report(2, step, loss=math.nan if step == 3 else 1.0, kl=math.inf)
    story.fail(2)
    story.complete(1, 0.55, keep=True)
    story.propose(3)
    story.report(3, 0, loss=0.7)
    story.complete(3, 0.50)
    story.finish()
