"""The text of a completion, whichever of TRL's two forms it comes in."""

from typing import Any


def text_of(completion: Any) -> str:
    """A completion as text: a plain string, or the last message of a conversation."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, list) and completion and isinstance(completion[-1], dict):
        content = completion[-1].get("content")
        return content if isinstance(content, str) else ""
    return ""
