"""Where a model is published to, as a person writes it: `hub:user/name`, `folder:PATH` or PATH."""

import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.report.model import is_hub_name

_HUB_LIKE = re.compile(
    r"(?:hf|huggingface|hub|https?://huggingface\.co|https?://hf\.co)[:/]+(?P<name>.*)", re.IGNORECASE
)


@dataclass(frozen=True)
class ToHub:
    """name: owner/name."""

    name: str


@dataclass(frozen=True)
class ToFolder:
    """path: as given."""

    path: Path


def parse_destination(text: str) -> ToHub | ToFolder:
    """Raises UsageError for what is neither."""
    if text.startswith("hub:"):
        name = text.removeprefix("hub:")
        if re.fullmatch(r"[^/\s]+/[^/\s]+", name) and (is_hub_name(name) or Path(name).exists()):
            return ToHub(name)
        raise UsageError(f"--to {text}: {_what_is_wrong(name)}; did you mean {_suggestion(name)}?")
    if found := _HUB_LIKE.match(text):
        raise UsageError(f"--to {text}: did you mean {_suggestion(found['name'])}?")
    path = text.removeprefix("folder:")
    if not path.strip():
        raise UsageError(f"--to {text!r}: a place is missing; give a folder or hub:user/name")
    return ToFolder(Path(path))


def _what_is_wrong(name: str) -> str:
    if not name:
        return "the name is missing"
    if "/" not in name:
        return "the owner is missing"
    return "a name on the hub is owner/name, each of letters, digits, - _ . and at most 96 characters"


def _suggestion(name: str) -> str:
    words = [re.sub(r"-{2,}|\.{2,}", "-", re.sub(r"[^\w\-.]+", "-", word)).strip("-.") for word in name.split("/")]
    words = [word[:96] for word in words if word]
    if len(words) == 1:
        return f"hub:YOUR-NAME/{words[0]}"
    return f"hub:{words[0]}/{words[1]}" if words else "hub:user/name"
