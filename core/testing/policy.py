"""Conformance of policies: the sentences of core.contracts.Policy as tests."""

from typing import Any, ClassVar

import pytest

from core.contracts import Policy, Proposal, Space
from core.plugins import discover
from core.testing import trials as synthetic
from core.testing.light import heavy_imports, missing_in_yaml


class PolicyConformance:
    """Subclass it, give `name` (and `options`); `spaces` only if the policy cannot take them all.

    finite: the policy can run out of points (a grid); then fewer proposals are accepted.
    """

    name: str
    options: ClassVar[dict[str, Any]] = {}
    spaces: ClassVar[dict[str, Space]] = synthetic.SPACES
    finite = False

    def make(self) -> Policy:
        """A fresh instance."""
        policy: Policy = discover().build("policy", {"name": self.name, **self.options})
        return policy

    def history(self, space: Space, count: int = 8) -> list[Any]:
        """Ended trials, one in four failed."""
        found = []
        for i, proposal in enumerate(self.drawn(space, count), 1):
            params = proposal.params
            value = ((i * 37) % 101) / 101
            found.append(synthetic.failed(i, params) if i % 4 == 0 else synthetic.scored(i, value, params))
        return found

    def drawn(self, space: Space, count: int) -> list[Proposal]:
        """Points of the space that a fresh policy might have proposed."""
        import random

        return [Proposal(space.sample(random.Random(i))) for i in range(count)]

    def ask(self, space: Space, n: int = 1, **view: Any) -> list[Proposal]:
        """What a fresh instance, told the trials of the view, proposes."""
        policy = self.make()
        for trial in view.get("trials", ()):
            policy.tell(trial)
        return policy.ask(synthetic.view(space, **view), n)

    @pytest.mark.parametrize("space", ["mixed", "one", "numbers", "choices", "fixed"])
    def test_proposals_fit_the_space(self, space: str) -> None:
        if space not in self.spaces:
            pytest.skip(f"{self.name} does not take this kind of space")
        where = self.spaces[space]
        for trials in ([], self.history(where)):
            for proposal in self.ask(where, 3, trials=trials):
                assert where.check(proposal.params) == proposal.params
                assert proposal.rationale, "a proposal says why"
                assert "\n" not in proposal.rationale

    def test_at_most_n_and_at_least_one_are_proposed(self) -> None:
        space = next(iter(self.spaces.values()))
        for n in (1, 2, 5):
            found = self.ask(space, n)
            assert 1 <= len(found) <= n

    def test_the_same_view_gives_the_same_proposals(self) -> None:
        for space in self.spaces.values():
            trials = self.history(space)
            policy = self.make()
            for trial in trials:
                policy.tell(trial)
            where = synthetic.view(space, trials)
            assert policy.ask(where, 2) == policy.ask(where, 2)

    def test_a_new_instance_told_the_journal_proposes_what_the_old_one_would(self) -> None:
        space = next(iter(self.spaces.values()))
        old = self.make()
        done: list[Any] = []
        for number in range(1, 9):
            proposals = old.ask(synthetic.view(space, done), 1)
            if not proposals:
                assert self.finite
                return
            assert self.ask(space, 1, trials=done) == proposals
            trial = synthetic.scored(number, number / 10, proposals[0].params)
            old.tell(trial)
            done.append(trial)

    def test_the_seed_of_the_study_matters_and_nothing_else_is_random(self) -> None:
        space = self.spaces.get("mixed") or next(iter(self.spaces.values()))
        trials = self.history(space, 3)
        by_seed = [self.ask(space, 2, trials=trials, seed=seed) for seed in (1, 2, 3, 4)]
        assert any(other != by_seed[0] for other in by_seed[1:])

    def test_parallel_proposals_differ_and_running_trials_are_seen(self) -> None:
        space = self.spaces.get("mixed") or next(iter(self.spaces.values()))
        trials = self.history(space)
        together = self.ask(space, 4, trials=trials)
        assert len({str(p.params) for p in together}) > 1
        pending = [synthetic.running(90 + i, p.params) for i, p in enumerate(together)]
        after = self.ask(space, 1, trials=trials, pending=pending)
        assert after[0].params not in [p.params for p in together]

    @pytest.mark.parametrize("objective", [synthetic.MAXIMIZE, synthetic.MINIMIZE], ids=["maximize", "minimize"])
    def test_both_directions_work(self, objective: Any) -> None:
        space = next(iter(self.spaces.values()))
        assert self.ask(space, 1, trials=self.history(space), objective=objective)

    def test_a_history_of_failures_only_is_no_obstacle(self) -> None:
        space = next(iter(self.spaces.values()))
        trials = [synthetic.failed(i, p.params) for i, p in enumerate(self.drawn(space, 6), 1)]
        assert self.ask(space, 1, trials=trials)

    def test_naming_it_imports_nothing_heavy(self) -> None:
        assert heavy_imports("policy", self.name) == []

    def test_every_setting_can_be_given_on_the_command_line(self) -> None:
        assert missing_in_yaml("policy", self.name) == set()
