"""Grading: which answer a completion gives, and whether it equals the right one."""

import logging
import re
from fractions import Fraction

# 1,234.50 · 3/4 · -7 · .5; a minus counts as a sign only where nothing stands to its left.
_NUMBER = r"(?:(?<![\w)\]])[-\u2212])?(?:[$€£]\s?)?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s?/\s?\d+(?![\d/]))?"
_NUMBERS = re.compile(_NUMBER)
_MIXED = re.compile(r"(?<![\d.,/])([-\u2212]?\d+)\s+(\d+)\s?/\s?(\d+)(?![\d/])")
_SAID = re.compile(r"\banswer\b[^.\n\d]{0,40}?(?:\bis\b|\bwould be\b|:|=)", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LONGEST = 80  # characters of an answer that are worth a look
_HUGE_POWER = re.compile(r"\^\s*\{?\s*[-\d.]*\d{3}|\^.*\^|!|\*\*", re.DOTALL)


def extract_answer(text: str) -> str | None:
    """The answer that a completion gives, as it stands there, or None if it gives none.

    In this order: what follows the last `####` (GSM8K's own form, Cobbe et al. 2021), the last
    `\\boxed{…}`, the number after the last "answer is", the last number of the text (the
    "flexible" extraction of EleutherAI's evaluation harness). A marker that nothing follows is
    a truncated completion: it gives no answer.
    """
    if "####" in text:
        return _first_number(text.rpartition("####")[2].strip().partition("\n")[0])
    if boxes := list(_BOXED.finditer(text)):
        return _braced(text, boxes[-1].end())
    if said := list(_SAID.finditer(text)):
        rest = text[said[-1].end() :].partition("\n")[0]
        if (number := _first_number(rest)) is not None:
            return number
    found = _all_numbers(text)
    return found[-1] if found else None


def is_correct(text: str, answer: str) -> bool:
    """Whether a completion's answer equals the right one (a number, or any text)."""
    given = extract_answer(text)
    return given is not None and equal(given, answer)


def equal(given: str, answer: str) -> bool:
    """Whether two answers mean the same: as numbers, else as mathematics (math-verify), else as text."""
    left, right = as_number(given), as_number(answer)
    if left is not None and right is not None:
        return left == right
    if _plain(given) == _plain(answer):
        return True
    return _equivalent(given, answer)


def as_number(text: str) -> Fraction | None:
    """A number without its dress (currency, thousands separators, percent sign, units), or None."""
    bare = text.strip().rstrip(".").replace("\\$", "$").replace("\\%", "%").replace("\\!", "").strip("$ ")
    if mixed := _MIXED.fullmatch(bare):
        whole, part = Fraction(_digits(mixed[1])), Fraction(int(mixed[2]), int(mixed[3]) or 1)
        return whole - part if whole < 0 else whole + part
    found = _NUMBERS.match(bare)
    if found is None or not any(char.isdigit() for char in found[0]) or len(found[0]) > _LONGEST:
        return None
    rest = bare[found.end() :]
    if not re.fullmatch(r"\s*(?:%|°|[a-zA-Z][a-zA-Z .²³/]*)?", rest):
        return None
    above, _, below = _digits(found[0]).partition("/")
    return None if below and not int(below) else Fraction(above) / (int(below) if below else 1)


def _digits(text: str) -> str:
    return re.sub(r"[,$€£\s]", "", text).replace("\u2212", "-")


def _first_number(text: str) -> str | None:
    """The number that a sentence begins with; of a calculation in it ("2 x 3 = 6 eggs") its result."""
    sentence = re.split(r"(?<=[^\d\s])\.\s|(?<=\d)\.\s+(?=[A-Z])", text[:200])[0]
    found = _all_numbers(sentence.rpartition("=")[2]) or _all_numbers(sentence)
    return found[0] if found else None


def _all_numbers(text: str) -> list[str]:
    found: list[tuple[int, str]] = []
    taken = 0
    for mixed in _MIXED.finditer(text):
        found += [(m.start(), m[0]) for m in _NUMBERS.finditer(text, taken, mixed.start())]
        found.append((mixed.start(), mixed[0]))
        taken = mixed.end()
    found += [(m.start(), m[0]) for m in _NUMBERS.finditer(text, taken)]
    return [number.strip() for _, number in found if any(char.isdigit() for char in number)]


def _braced(text: str, start: int) -> str | None:
    """What stands between the brace that ends before `start` and its partner; None if it has none."""
    depth = 1
    for position in range(start, min(len(text), start + 4 * _LONGEST)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position].strip() or None
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)).strip(" .$").casefold()


def _equivalent(given: str, answer: str) -> bool:
    # A completion is a stranger's text: what sympy would compute for hours is not even parsed.
    if max(len(given), len(answer)) > _LONGEST or _HUGE_POWER.search(given):
        return False
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify

    # Their own time-outs need the main thread's signals; the check above stands in for them.
    gold, target = (parse(f"${text.strip('$ ')}$", parsing_timeout=None) for text in (answer, given))
    return bool(gold and target and verify(gold, target, timeout_seconds=None))
