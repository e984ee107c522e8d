"""Publishing to the hub: one commit, so that nobody ever sees half a model; safe to repeat."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from core.errors import OvernightError, UsageError
from core.publish.bundle import CARD, Bundle
from core.publish.hub_errors import explained, retry_after
from core.report.checkpoint import ADAPTER, CONFIG

T = TypeVar("T")
_TRIES = 4
_LONGEST_PAUSE_S = 60.0  # a server may ask for more with Retry-After; then the person decides
_OWN = {".gitattributes"}  # made by the hub in every repository


def publish_to_hub(
    bundle: Bundle,
    name: str,
    *,
    private: bool,
    overwrite: bool,
    endpoint: str | None = None,
    token: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Upload the bundle to the model repository owner/name, made if it is not there; returns its URL.

    endpoint, token: as in HfApi, from the environment and the login by default. Raises UsageError
    for what a person has to change, Unreachable for what may be tried again as it is.
    """
    api = _api(endpoint, token)
    page = f"{api.endpoint}/{name}"

    def attempt(action: Callable[[], T]) -> T:
        return _patiently(action, name, api.endpoint, sleep)

    attempt(lambda: api.create_repo(name, private=private or None, exist_ok=True))
    info = attempt(lambda: api.model_info(name, timeout=30.0))
    if private and info.private is False:
        raise UsageError(
            f"{page} exists and is public; nothing was uploaded. Make it private there, or leave --private"
        )
    there = {item.rfilename for item in info.siblings or []} - _OWN
    foreign = _foreign(bundle, there, lambda: attempt(lambda: _card_there(api, name)), page, overwrite)
    attempt(lambda: _commit(api, name, bundle, foreign))
    return page


def _api(endpoint: str | None, token: str | None) -> Any:
    try:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise UsageError("publishing to the hub needs huggingface-hub: pip install huggingface-hub") from None
    import logging
    import sys

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    if not (token or get_token()):
        raise UsageError("the hub needs a token with write access: log in with `hf auth login`, or set HF_TOKEN")
    return HfApi(endpoint=endpoint, token=token, library_name="overnight")


def _foreign(bundle: Bundle, there: set[str], card: Callable[[], str], page: str, overwrite: bool) -> list[str]:
    """Files to delete, so that no other model's weights stay among ours. Raises UsageError when
    the repository holds another model and was not to be overwritten."""
    foreign = sorted(there - set(bundle.names))
    if overwrite:
        return foreign
    ours = bool({CONFIG, ADAPTER} & there) and CARD in there and bundle.study in card()
    if ours or not ({CONFIG, ADAPTER} & there or any(name.endswith((".safetensors", ".bin")) for name in there)):
        return foreign if ours else []
    raise UsageError(
        f"{page} already holds a model that is not of this study; choose another name, or replace it with --overwrite "
        f"(its history keeps the old one)"
    )


def _card_there(api: Any, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        found = api.hf_hub_download(name, CARD, local_dir=folder)
        return Path(found).read_text(encoding="utf-8", errors="replace")


def _commit(api: Any, name: str, bundle: Bundle, foreign: list[str]) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # Asked anew: a commit may have been made though its answer was lost, and what is gone cannot be deleted again.
    there = {item.rfilename for item in api.model_info(name, timeout=30.0).siblings or []} if foreign else set()
    operations: list[Any] = [CommitOperationDelete(path) for path in foreign if path in there]
    operations += [CommitOperationAdd(path, str(source)) for path, source in bundle.copied.items()]
    operations += [CommitOperationAdd(path, content) for path, content in bundle.written.items()]
    message = f"Trial {bundle.trial.number} of {bundle.study}"
    api.create_commit(name, operations, commit_message=message)


def _patiently(action: Callable[[], T], name: str, endpoint: str, sleep: Callable[[float], None]) -> T:
    """Repeat what fails for a passing reason, 1, 2 and 4 seconds later or when the hub says so.

    Every action here may be repeated: what was uploaded is not sent again, an equal commit is none.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return action()
        except OvernightError:
            raise
        except Exception as error:
            fault = explained(error, name, endpoint)
            asked = retry_after(error)
            pause = 2.0 ** (attempt - 1) if asked is None else asked
            if isinstance(fault, UsageError) or attempt == _TRIES or pause > _LONGEST_PAUSE_S:
                raise fault from error
            sleep(pause)
    raise AssertionError("unreachable")
