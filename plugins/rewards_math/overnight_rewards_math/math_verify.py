"""The `math_verify` reward: mathematical equivalence of a completion's answer and the right one."""

import logging
import re
import threading
from typing import Any

from pydantic import Field

from core import PluginConfig
from overnight_rewards_math.text import text_of

# A completion is a stranger's text: what sympy would compute for hours is not even parsed.
_HUGE = re.compile(r"\^\s*\{?\s*[-\d.]*\d{3}|\*\*|!|\^\s*\{[^}]*\^|\d{30}")


class MathVerify:
    """Rewards answers that are mathematically equal to the right one: LaTeX, fractions, expressions."""

    class Config(PluginConfig):
        """tail: characters at the end of a completion in which the answer is looked for.
        timeout_s: seconds for parsing and for comparing one completion, in the main thread."""

        tail: int = Field(default=400, ge=1)
        timeout_s: int = Field(default=3, ge=1)

    def __init__(self, config: Config) -> None:
        self._tail, self._timeout_s = config.tail, config.timeout_s

    def __call__(
        self, prompts: list[Any], completions: list[Any], answer: list[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """1.0 for an equal answer, 0.0 for another or none; None where the data has no answer."""
        answers = answer if answer is not None else [None] * len(completions)
        return [
            None if right is None else float(self._equal(text_of(completion), str(right)))
            for completion, right in zip(completions, answers, strict=True)
        ]

    def _equal(self, completion: str, answer: str) -> bool:
        given = completion[-self._tail :]
        if not given.strip() or _HUGE.search(given):
            return False
        from math_verify import parse, verify

        logging.getLogger("math_verify").setLevel(logging.CRITICAL)
        # Their time-outs are signals, which only the main thread may use; elsewhere the checks above must do.
        seconds = self._timeout_s if threading.current_thread() is threading.main_thread() else None
        gold, target = (parse(text, parsing_timeout=seconds) for text in (f"${answer.strip('$ ')}$", given))
        return bool(gold and target and verify(gold, target, timeout_seconds=seconds))
