"""Metrics in what a script prints: `key=value` and `key: value`, the last value of a key counts."""

import re

_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|(?:(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_KEY = r"[A-Za-z_][\w./@-]*"
# A unit may follow a number ("12.5 MB", "40%", "3.2s"), more digits or a date may not.
_PAIR = re.compile(
    rf"(?<![\w./@-])(?P<key>{_KEY})(?:\s*=\s*|:\s+|:(?=[-+.\d]))(?P<value>{_NUMBER})(?P<unit>%|[A-Za-zµ/]*)(?![\w.:-]*\d)",
    re.IGNORECASE,
)


def metrics_of(line: str) -> dict[str, float]:
    """The metrics of one line, in its order; nan and inf are kept as such."""
    found = {}
    for match in _PAIR.finditer(line):
        text, unit = match["value"], match["unit"]
        if unit and not text[-1].isdigit() and text[-1] != ".":
            continue  # "model=information" begins with inf and is no number
        found[match["key"]] = float(text.replace(",", ""))
    return found
