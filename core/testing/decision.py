"""Conformance of decision rules: the sentences of core.contracts.DecisionRule as tests."""

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from core.contracts import Decision, DecisionRule, Objective, Trial
from core.contracts.codec import dumps, from_plain
from core.plugins import discover
from core.testing import trials as synthetic
from core.testing.light import heavy_imports, missing_in_yaml


def _scores(right: int, n: int = 400) -> list[float]:
    return [1.0] * right + [0.0] * (n - right)


class DecisionConformance:
    """Subclass it and give `name` (and `options`)."""

    name: str
    options: ClassVar[dict[str, Any]] = {}

    def make(self) -> DecisionRule:
        """A fresh instance."""
        rule: DecisionRule = discover().build("decision", {"name": self.name, **self.options})
        return rule

    def decide(
        self, candidate: Trial, incumbent: Trial, objective: Objective = synthetic.MAXIMIZE, **more: Any
    ) -> Decision:
        """What a fresh instance decides."""
        return self.make().decide(candidate, incumbent, more.get("history", []), objective)

    def test_the_same_arguments_give_the_same_decision(self) -> None:
        candidate, incumbent = synthetic.scored(2, 0, items=_scores(120)), synthetic.scored(1, 0, items=_scores(110))
        history = [synthetic.scored(0, 0.1), synthetic.failed(3)]
        rule = self.make()
        first = rule.decide(candidate, incumbent, history, synthetic.MAXIMIZE)
        assert rule.decide(candidate, incumbent, history, synthetic.MAXIMIZE) == first
        assert self.decide(candidate, incumbent, history=history) == first

    def test_a_decision_has_a_verdict_a_sentence_and_evidence_that_fits_a_journal(self) -> None:
        found = self.decide(synthetic.scored(1, 0, items=_scores(200)), synthetic.scored(0, 0, items=_scores(100)))
        assert found.verdict in ("keep", "discard", "retest")
        assert found.reason
        assert "\n" not in found.reason
        assert from_plain(Decision, json.loads(dumps(found))) == found

    @pytest.mark.parametrize("objective", [synthetic.MAXIMIZE, synthetic.MINIMIZE], ids=["maximize", "minimize"])
    def test_a_much_worse_trial_is_never_kept(self, objective: Objective) -> None:
        worse, better = (40, 300) if objective.direction == "maximize" else (300, 40)
        candidate, incumbent = (synthetic.scored(n, 0, items=_scores(right)) for n, right in ((1, worse), (0, better)))
        assert self.decide(candidate, incumbent, objective).verdict != "keep"

    @pytest.mark.parametrize("objective", [synthetic.MAXIMIZE, synthetic.MINIMIZE], ids=["maximize", "minimize"])
    def test_a_much_better_trial_is_not_thrown_away(self, objective: Objective) -> None:
        worse, better = (40, 300) if objective.direction == "maximize" else (300, 40)
        candidate, incumbent = (synthetic.scored(n, 0, items=_scores(right)) for n, right in ((1, better), (0, worse)))
        assert self.decide(candidate, incumbent, objective).verdict != "discard"

    def test_an_equal_trial_does_not_replace_the_incumbent(self) -> None:
        incumbent = synthetic.scored(0, 0, items=_scores(100))
        assert self.decide(synthetic.scored(1, 0, items=_scores(100)), incumbent).verdict != "keep"

    def test_the_arguments_are_left_as_they_are(self) -> None:
        arguments = (
            synthetic.scored(2, 0, {"x": 1.0}, items=_scores(120)),
            synthetic.scored(1, 0, {"x": 2.0}, items=_scores(110)),
            [synthetic.scored(3, 0.2), synthetic.failed(4)],
        )
        before = dumps(arguments)
        self.make().decide(*arguments, synthetic.MAXIMIZE)
        assert dumps(arguments) == before

    def test_evidence_is_made_of_json_scalars(self) -> None:
        found = self.decide(synthetic.scored(1, 0, items=_scores(200)), synthetic.scored(0, 0, items=_scores(100)))
        assert all(isinstance(key, str) for key in found.evidence)
        assert all(value is None or isinstance(value, bool | int | float | str) for value in found.evidence.values())

    def test_the_baseline_and_an_empty_history_are_where_every_study_begins(self) -> None:
        baseline = synthetic.scored(0, 0, items=_scores(100))
        for right in (20, 100, 101, 300):
            found = self.decide(synthetic.scored(1, 0, {"x": 1.0}, items=_scores(right)), baseline, history=())
            assert found.verdict in ("keep", "discard", "retest")

    @pytest.mark.parametrize("n", [0, 1, 2], ids=["no", "one", "two"])
    def test_few_item_scores_are_no_obstacle(self, n: int) -> None:
        candidate, incumbent = (synthetic.scored(i, i / 2, items=[i / 2] * n) for i in (1, 0))
        assert self.decide(candidate, incumbent).reason

    def test_items_that_differ_are_no_obstacle(self) -> None:
        candidate, incumbent = synthetic.scored(1, 0, items=_scores(30, 50)), synthetic.scored(0, 0, items=_scores(9))
        assert self.decide(candidate, incumbent).reason

    def test_a_leader_is_the_baseline_the_candidate_the_incumbent_or_a_contender(self) -> None:
        rule, baseline = self.make(), synthetic.scored(0, 0, items=_scores(100))
        trials, history, allowed, incumbent = {0: baseline}, [baseline], {0}, 0
        for number, right in enumerate((120, 180, 90, 125, 110, 60, 200, 130, 105, 140), 1):
            candidate = synthetic.scored(number, 0, {"x": float(number)}, items=_scores(right))
            candidate = replace(candidate, proposal=replace(candidate.proposal, parent=incumbent))
            found = rule.decide(candidate, trials[incumbent], history, synthetic.MAXIMIZE)
            trials[number] = candidate
            history.append(replace(candidate, decision=found))
            if found.verdict == "keep":
                assert found.leader in (None, number)
            if found.leader is not None:
                assert found.leader in allowed | {0, number, incumbent}
            incumbent = (number if found.verdict == "keep" else incumbent) if found.leader is None else found.leader
            assert set(found.contenders) <= allowed | {number, incumbent}
            allowed = {*found.contenders, incumbent}
            if (believed := found.estimate) is not None:
                assert believed.trial == incumbent
                assert believed.low <= believed.score <= believed.high
                assert believed.gain_low <= believed.gain <= believed.gain_high
                assert 0.0 <= believed.chance <= 1.0

    def test_naming_it_imports_nothing_heavy(self) -> None:
        assert heavy_imports("decision", self.name) == []

    def test_every_setting_can_be_given_on_the_command_line(self) -> None:
        assert missing_in_yaml("decision", self.name) == set()
