"""Conformance of policies: the sentences of core.contracts.Policy as tests."""

import base64
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from core.contracts import Policy, Proposal, Space, Trial
from core.plugins import discover
from core.testing import trials as synthetic
from core.testing.light import HEAVY, missing_in_yaml

_CHILD = """
import base64, pickle, sys
node, view, n, heavy = pickle.loads(base64.b64decode(sys.stdin.read()))
from core.contracts.codec import dumps
from core.plugins import discover
policy = discover().build("policy", node)
print(",".join(name for name in heavy if name in sys.modules))
for trial in view.trials:
    policy.tell(trial)
print(dumps(policy.ask(view, n)))
"""


class PolicyConformance:
    """Subclass it and give `name` (and `options`).

    spaces: search spaces by name, if the policy cannot take all of core.testing.trials.SPACES.
    finite: the policy can run out of points (a grid); then it may propose fewer, or nothing.
    """

    name: str
    options: ClassVar[dict[str, Any]] = {}
    spaces: ClassVar[dict[str, Space]] = synthetic.SPACES
    finite = False

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test with argument `space` runs once for each space of the class."""
        if "space" in metafunc.fixturenames:
            spaces = metafunc.cls.spaces
            metafunc.parametrize("space", list(spaces.values()), ids=list(spaces))

    @property
    def roomy(self) -> Space:
        """The space with the most parameters, where two proposals are alike by accident only."""
        return max(self.spaces.values(), key=len)

    def make(self) -> Policy:
        """A fresh instance."""
        policy: Policy = discover().build("policy", {"name": self.name, **self.options})
        return policy

    def history(self, space: Space, count: int = 8) -> list[Trial]:
        """Ended trials: completed ones, and of every eight one cancelled and one failed."""
        found = []
        for i, params in enumerate(self.drawn(space, count), 1):
            if i % 8 == 3:
                found.append(synthetic.failed(i, params))
            elif i % 8 == 6:
                found.append(synthetic.cancelled(i, params))
            else:
                found.append(synthetic.scored(i, ((i * 37) % 101) / 101, params))
        return found

    def drawn(self, space: Space, count: int) -> list[dict[str, Any]]:
        """Points of the space that some policy might have proposed."""
        return [space.sample(random.Random(i)) for i in range(count)]

    def ask(self, space: Space, n: int = 1, trials: Sequence[Trial] = (), **more: Any) -> list[Proposal]:
        """What a fresh instance, told the trials of the view, proposes."""
        policy = self.make()
        for trial in trials:
            policy.tell(trial)
        return policy.ask(synthetic.view(space, trials, **more), n)

    def test_proposals_fit_the_space_and_say_why(self, space: Space) -> None:
        for trials in ([], self.history(space)):
            found = self.ask(space, 2, trials)
            assert found or self.finite, "an empty list while nothing is running ends the study"
            for proposal in found:
                assert space.check(proposal.params) == proposal.params
                assert {name: type(value) for name, value in proposal.params.items()} == {
                    name: type(value) for name, value in space.check(proposal.params).items()
                }, "8.0 is no whole number, True is not 1"
                assert proposal.rationale, "a proposal says why"
                assert "\n" not in proposal.rationale, "in one line"

    @pytest.mark.parametrize("n", [1, 3])
    def test_at_most_n_are_proposed(self, n: int) -> None:
        for trials in ([], self.history(self.roomy)):
            assert 1 <= len(self.ask(self.roomy, n, trials)) <= n

    def test_asked_again_with_the_same_view_the_answer_is_the_same(self, space: Space) -> None:
        trials = self.history(space)
        policy = self.make()
        for trial in trials:
            policy.tell(trial)
        where = synthetic.view(space, trials)
        assert policy.ask(where, 2) == policy.ask(where, 2)

    def test_a_new_instance_told_the_journal_proposes_what_the_old_one_would(self) -> None:
        space, old = self.roomy, self.make()
        done: list[Trial] = []
        for number in range(1, 9):
            proposals = old.ask(synthetic.view(space, done), 1)
            assert self.ask(space, 1, done) == proposals
            if not proposals:
                assert self.finite
                return
            params = proposals[0].params
            trial = synthetic.failed(number, params) if number == 4 else synthetic.scored(number, number / 10, params)
            old.tell(trial)
            done.append(trial)

    def test_another_process_proposes_the_same_and_constructing_is_light(self) -> None:
        """Python salts its hashes anew in each process: a seed made from one is a hidden state."""
        trials = self.history(self.roomy)
        where = synthetic.view(self.roomy, trials)
        sent = pickle.dumps(({"name": self.name, **self.options}, where, 2, HEAVY))
        child = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=base64.b64encode(sent).decode(),
            env={**os.environ, "PYTHONHASHSEED": "12345"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert child.returncode == 0, child.stderr
        imported, proposed = child.stdout.splitlines()[:2]
        assert imported == "", "import heavy libraries inside the methods that need them"
        here = self.ask(self.roomy, 2, trials)
        assert [proposal["params"] for proposal in json.loads(proposed)] == [proposal.params for proposal in here]

    def test_the_seed_of_the_study_is_what_makes_proposals_differ(self) -> None:
        trials = self.history(self.roomy, 3)
        by_seed = [self.ask(self.roomy, 2, trials, seed=seed) for seed in (1, 2, 3, 4)]
        assert any(other != by_seed[0] for other in by_seed[1:])

    def test_parallel_proposals_are_not_all_alike(self) -> None:
        together = self.ask(self.roomy, 3, self.history(self.roomy))
        assert len({json.dumps(proposal.params) for proposal in together}) > 1

    def test_running_trials_are_seen(self) -> None:
        trials = self.history(self.roomy)
        together = self.ask(self.roomy, 2, trials)
        pending = [synthetic.running(90 + i, proposal.params) for i, proposal in enumerate(together)]
        for proposal in self.ask(self.roomy, 1, trials, pending=pending):
            assert proposal.params not in [trial.proposal.params for trial in pending]

    @pytest.mark.parametrize("objective", [synthetic.MAXIMIZE, synthetic.MINIMIZE], ids=["maximize", "minimize"])
    def test_both_directions_work(self, objective: Any) -> None:
        assert self.ask(self.roomy, 1, self.history(self.roomy), objective=objective)

    def test_a_history_of_failures_only_is_no_obstacle(self) -> None:
        points = self.drawn(self.roomy, 8)
        assert self.ask(self.roomy, 1, [synthetic.failed(i, params) for i, params in enumerate(points, 1)])

    def test_a_retested_point_is_no_obstacle(self) -> None:
        trials = self.history(self.roomy)
        again = synthetic.scored(9, 0.4, trials[0].proposal.params)
        retest = replace(again, proposal=replace(again.proposal, parent=1, retest=True))
        assert self.ask(self.roomy, 1, [*trials, retest])

    def test_a_baseline_without_a_score_is_no_obstacle(self) -> None:
        assert self.make().ask(replace(synthetic.view(self.roomy), baseline=None, incumbent=None), 1)

    def test_every_setting_can_be_given_on_the_command_line(self) -> None:
        assert missing_in_yaml("policy", self.name) == set()
