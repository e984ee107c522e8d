"""Errors of a config node: the whole path of the key, what is wrong with it, and the nearest right word."""

from typing import Any, Literal

import pytest
from pydantic import Field, PositiveInt

from core.contracts import Param, PluginConfig, SpaceConfig
from core.errors import UsageError
from core.suggest import did_you_mean, listing
from core.validation import validate


class Inner(PluginConfig):
    rate: float = Field(default=1.0, gt=0)


class Outer(PluginConfig):
    size: int
    inner: Inner = Inner()
    slots: Literal["auto"] | PositiveInt = "auto"
    ids: tuple[int, ...] = ()
    steps: Param | None = None
    space: SpaceConfig = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({}, "policy.size: a value is needed"),
        (
            {"size": 1, "sise": 2},
            "policy.sise: unknown key. Did you mean size? Keys: ids, inner, size, slots, space, steps",
        ),
        ({"size": 1, "inner": {"rat": 2}}, "policy.inner.rat: unknown key. Did you mean rate? Keys: rate"),
        (
            {"size": 1, "slots": 0},
            "policy.slots: input should be 'auto' (got 0); or: input should be greater than 0 (got 0)",
        ),
        (
            {"size": 1, "space": {"x": {"type": "categorical", "choices": [1], "default": 1, "low": 0}}},
            "policy.space.x.low: unknown key",
        ),
        ({"size": 1, "ids": [0, "x"]}, "policy.ids.1: input should be a valid integer, unable to parse string"),
        ({"size": 1, "steps": {"type": "int", "low": 2, "high": 5}}, "policy.steps.default: a value is needed"),
        (
            {"size": 1, "steps": {"type": "int", "low": 2, "high": 5, "default": 7}},
            "policy.steps: default 7 is outside 2 … 5",
        ),
        ({"size": 1, "inner": {"rate": -2}}, "policy.inner.rate: input should be greater than 0 (got -2)"),
    ],
)
def test_each_problem_is_a_line(node: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(Outer, node, "policy")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        validate(Outer, {"inner": {"rate": 0}}, "")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["size", "inner.rate"]


def test_suggestions_forgive_case_and_say_nothing_where_nothing_is_near() -> None:
    assert did_you_mean("WANDB", ["wandb", "none"]) == " Did you mean wandb?"
    assert did_you_mean("qqqq", ["wandb"]) == ""
    assert listing([]) == "none"
    assert listing(["b", "a"]) == "a, b"


def test_null_takes_a_parameter_or_a_key_of_the_space_away() -> None:
    node = {
        "x": {"type": "categorical", "choices": [1, 2], "default": 1, "low": None, "high": None},
        "y": None,
        "z": {"type": "int", "low": 1, "high": 3, "default": 2},
    }
    found = validate(Outer, {"size": 1, "space": node}, "")
    assert list(found.space) == ["x", "z"]
    assert found.space["x"].default == 1
