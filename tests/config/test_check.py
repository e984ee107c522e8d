"""Overrides checked before anything runs: groups, keys, values, sweeps and the place to write to."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from core.config.check import _check_key, check_overrides
from core.config.search_path import add_search_path
from core.errors import UsageError
from core.plugins import Registry, discover


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = discover()
    add_search_path(found.config_dirs)
    return found


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task=quadratik"], "task: there is no 'quadratik'. Did you mean quadratic?"),
        (["+experimnt=smoke"], "experimnt: no such config group. Did you mean experiment?"),
        (["+experiment=smok"], "experiment: there is no 'smok'. Did you mean smoke?"),
        (["budget.trails=3"], "budget.trails: no such setting. Did you mean budget.trials?"),
        (["polcy=random"], "polcy: no such setting. Did you mean policy?"),
        (["seed=one"], "seed: "),
        (["budget.trials=-1"], "budget.trials: "),
        (["task=quadratic", "task.step_s=slow"], "task.step_s: "),
        (["a=[1"], "cannot read the arguments"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_cure(registry: Registry, overrides: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides(overrides, registry)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["task=quadratic", "policy=random", "tracker=none"],
        ["+experiment=smoke"],
        ["task=quadratic", "tracker=[wandb,jsonlines]"],
        ["task=quadratic", "budget.usd=2.5", "executor.slots=2"],
    ],
)
def test_what_is_right_passes_and_writes_nothing(registry: Registry, overrides: list[str], tmp_path: Path) -> None:
    check_overrides(overrides, registry)
    assert list(tmp_path.iterdir()) == []


def test_every_choice_of_a_sweep_is_checked_for_its_name(registry: Registry) -> None:
    check_overrides(["policy=random,tpe", "seed=range(1,4)"], registry, multirun=True)
    with pytest.raises(UsageError, match="Did you mean tpe"):
        check_overrides(["policy=random,tpp"], registry, multirun=True)


def test_several_wrong_keys_are_all_named(registry: Registry) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides(["seed=one", "budget.trials=-1"], registry)
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {"seed", "budget.trials"}


def test_a_setting_that_must_be_given_is_a_setting(registry: Registry) -> None:
    parse = OverridesParser.create().parse_override
    _check_key(parse("task.data=/data"), OmegaConf.create({"task": {"data": "???"}}))
    with pytest.raises(UsageError, match=r"Did you mean task\.data"):
        _check_key(parse("task.dta=/data"), OmegaConf.create({"task": {"data": "???"}}))
