"""What went wrong at the hub, in one line with what to do next."""

import re
from collections.abc import Iterator
from typing import Any

from core.errors import OvernightError, Unreachable, UsageError

_AGAIN = "nothing is half published; give the same command again"


def explained(error: Exception, name: str, endpoint: str) -> OvernightError:
    """UsageError for what a person has to change, Unreachable for what may pass by itself."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    response = next((found for one in _chain(error) if (found := getattr(one, "response", None)) is not None), None)
    said = _line(error)
    if isinstance(error, ValueError) and "metadata" in str(error):  # raised from the hub's answer, a 400
        return UsageError(f"the hub refuses the model card: {said}")
    if response is not None:
        return _of_status(int(response.status_code), said, name, endpoint)
    if any(isinstance(one, OfflineModeIsEnabled) for one in _chain(error)):
        return UsageError("the hub may not be asked: HF_HUB_OFFLINE is set; unset it to publish")
    if isinstance(error, HFValidationError):
        return UsageError(f"the hub does not take the name {name!r}: {said}")
    return Unreachable(f"the hub at {endpoint} cannot be reached ({type(error).__name__}: {said}); {_AGAIN}")


def _of_status(status: int, said: str, name: str, endpoint: str) -> OvernightError:
    owner = name.partition("/")[0]
    if status == 401:
        return UsageError(
            f"the hub does not accept the token (401): log in again with `hf auth login`, or set HF_TOKEN to a token "
            f"with write access from {endpoint}/settings/tokens"
        )
    if status == 403:
        return UsageError(
            f"the token may not write to {name} (403): use one with write access ({endpoint}/settings/tokens), and "
            f"an owner that you may write for; is {owner!r} yours?"
        )
    if status == 404:
        return UsageError(f"the hub knows no {name} that this token may write to (404): check the owner {owner!r}")
    if status == 402 or status == 507:
        return UsageError(f"the hub has no room for {name} ({status}): {said}")
    if status == 429:
        return Unreachable(f"the hub asks for fewer requests (429); wait a few minutes: {_AGAIN}")
    if status in (408, 409, 412) or status >= 500:
        return Unreachable(f"the hub is out of order or busy ({status}); {_AGAIN}")
    return UsageError(f"the hub refuses the upload ({status}): {said}")


def retry_after(error: Exception) -> float | None:
    """Seconds that the hub asked to wait, where it did."""
    for one in _chain(error):
        headers: Any = getattr(getattr(one, "response", None), "headers", None)
        value = str(headers.get("retry-after", "")) if headers is not None else ""
        if value.strip().isdigit():
            return float(value)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _line(error: Exception) -> str:
    """The innermost message on one line, without anything that looks like a token."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"hf_\w{8,}", "hf_…", text)[:300]
