"""The sums: which are trained on, which are held out, and how an answer is judged."""

import hashlib
import random
import re
from collections.abc import Iterator
from typing import Literal

Part = Literal["train", "validation", "test"]
_ANSWER = re.compile(r"(?:;\d+)?=(\d+)")


def part_of(a: int, b: int) -> Part:
    """Which split a pair belongs to, for ever: 5 % of all pairs are validation, 5 % test."""
    bucket = hashlib.sha256(f"{a}+{b}".encode()).digest()[0] % 20
    return {0: "validation", 1: "test"}.get(bucket, "train")  # type: ignore[return-value]


def pairs(part: Part, seed: int, digits: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Endless pairs of a split; each number has `digits` (low, high) digits, evenly."""
    rng = random.Random(f"{part}/{seed}")

    def number() -> int:
        length = rng.randint(*digits)
        return rng.randint(10 ** (length - 1) if length > 1 else 0, 10**length - 1)

    while True:
        a, b = number(), number()
        if part_of(a, b) == part:
            yield a, b


def training_prompts(count: int, seed: int) -> list[dict[str, str]]:
    """Prompts with answers for GRPO: 1 to 3 digits a side, none of them held out."""
    drawn = pairs("train", seed, (1, 3))
    return [{"prompt": f"{a}+{b}", "answer": str(a + b)} for a, b in (next(drawn) for _ in range(count))]


def held_out(split: Literal["validation", "test"], count: int) -> list[dict[str, str]]:
    """`count` different held-out sums of 2 to 3 digits a side, always the same ones."""
    found: dict[str, str] = {}
    for a, b in pairs(split, 0, (2, 3)):
        found.setdefault(f"{a}+{b}", str(a + b))
        if len(found) == count:
            return [{"prompt": prompt, "answer": answer} for prompt, answer in found.items()]
    raise AssertionError("pairs() never ends")


def completion(answer: str, thinking: bool) -> str:
    """A right completion: `=27`, or with thinking `;72=27`."""
    return f";{answer[::-1]}={answer}" if thinking else f"={answer}"


def is_right(text: str, answer: str) -> bool:
    """Whether a whole completion is well-formed and its answer right."""
    found = _ANSWER.fullmatch(text)
    return found is not None and found.group(1) == answer


def is_well_formed(text: str) -> bool:
    """Whether a whole completion has one of the two forms."""
    return _ANSWER.fullmatch(text) is not None
