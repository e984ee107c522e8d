"""Arguments before Hydra: which word is an override, which a flag, and what `+group=x` becomes."""

import pytest

from core.config.arguments import GROUPS, parse


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["+task=quadratic"], ("task=quadratic",)),
        (["task=quadratic", "seed=2"], ("task=quadratic", "seed=2")),
        (["++task=x"], ("++task=x",)),
        (["+experiment=smoke"], ("+experiment=smoke",)),
        (["~tracker"], ("~tracker",)),
        (["-m", "seed=1,2"], ("-m", "seed=1,2")),
    ],
)
def test_a_plus_before_a_group_with_a_default_means_that_group(given: list[str], passed: tuple[str, ...]) -> None:
    assert parse(given, GROUPS).argv == passed


def test_overrides_are_told_from_flags_and_their_values() -> None:
    found = parse(["--cfg", "job", "-cd", "here", "--multirun", "seed=1,2"], GROUPS)
    assert found.overrides == ("seed=1,2",)
    assert found.multirun
    assert found.shows_only
    assert found.argv[-1] == "--resolve"


@pytest.mark.parametrize("flag", ["--hydra-help", "--version", "-sc"])
def test_flags_with_which_hydra_shows_itself_check_nothing(flag: str) -> None:
    assert not parse([flag], GROUPS).check


def test_resolving_is_asked_for_once_and_only_for_the_job() -> None:
    assert parse(["--cfg=job", "--resolve"], GROUPS).argv.count("--resolve") == 1
    assert "--resolve" not in parse(["--cfg", "hydra"], GROUPS).argv
