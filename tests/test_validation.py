"""Errors of a config node: the whole path of the key, what is wrong with it, and the nearest right word."""

from typing import Any

import pytest
from pydantic import Field

from core.contracts import PluginConfig
from core.errors import UsageError
from core.suggest import did_you_mean, listing
from core.validation import validate


class Inner(PluginConfig):
    rate: float = Field(default=1.0, gt=0)


class Outer(PluginConfig):
    size: int
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({}, "policy.size: a value is needed"),
        ({"size": 1, "sise": 2}, "policy.sise: unknown key. Did you mean size? Keys: inner, size"),
        ({"size": 1, "inner": {"rat": 2}}, "policy.inner.rat: unknown key. Did you mean rate? Keys: rate"),
        ({"size": 1, "inner": {"rate": -2}}, "policy.inner.rate: input should be greater than 0 (got -2)"),
    ],
)
def test_each_problem_is_a_line(node: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(Outer, node, "policy")
    assert str(caught.value) == line


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        validate(Outer, {"inner": {"rate": 0}}, "")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["size", "inner.rate"]


def test_suggestions_forgive_case_and_say_nothing_where_nothing_is_near() -> None:
    assert did_you_mean("WANDB", ["wandb", "none"]) == " Did you mean wandb?"
    assert did_you_mean("qqqq", ["wandb"]) == ""
    assert listing([]) == "none"
    assert listing(["b", "a"]) == "a, b"
