"""Suggestions for a mistyped word: "did you mean"."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ " Did you mean X?" with a leading space, or "" when nothing is near."""
    options = list(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.55)
    if not near:
        lowered = {option.lower(): option for option in options}
        near = [lowered[match] for match in difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.55)]
    return f" Did you mean {near[0]}?" if near else ""


def listing(known: Iterable[str]) -> str:
    """The known words, sorted, for the end of a message."""
    return ", ".join(sorted(known)) or "none"
