"""Asks the hub, from the controller, whether a model or dataset can be had: before money is spent on jobs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from core import SetupError
from overnight_huggingface.data import need_columns

_TIMEOUT_S = 10.0


def check_on_hub(kind: Literal["model", "dataset"], name: str, revision: str | None, setting: str) -> Any | None:
    """What the hub knows of a model or dataset (huggingface_hub's ModelInfo or DatasetInfo).

    Raises SetupError, naming the setting, when `name` is unknown, gated or cannot be asked for.
    Without network, what this machine's hub cache already holds counts as there; then it is None.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api = HfApi()
    try:
        info = api.repo_info(name, repo_type=kind, revision=revision, timeout=_TIMEOUT_S)
        if getattr(info, "gated", False):
            api.auth_check(name, repo_type=kind)
        return info
    except GatedRepoError:
        page = f"{api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
        raise SetupError(
            f"{setting}: {name} is gated: accept its terms at {page}, then log in with `hf auth login` "
            f"(or set HF_TOKEN and let jobs see it: executor.keep_env=[HF_TOKEN])"
        ) from None
    except RevisionNotFoundError:
        raise SetupError(f"{setting}: {name} has no revision {revision!r}; set task.revision=null") from None
    except RepositoryNotFoundError:
        raise SetupError(
            f"{setting}: the hub has no {kind} {name!r} that you may see; check the spelling, give a local folder, "
            f"or log in with `hf auth login` if it is private"
        ) from None
    except HFValidationError:
        raise SetupError(f"{setting}: {name!r} is neither a folder that exists nor a hub name (owner/name)") from None
    except Exception as error:  # noqa: BLE001 - no network, in the many ways there are
        if not _cached(kind, name):
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
            raise SetupError(
                f"{setting}: the hub cannot be reached to look for {kind} {name!r} ({why}), and this machine's cache "
                f"does not hold it; connect, or give a local folder"
            ) from None
        return None


def check_columns(info: Any, config_name: str | None, columns: Mapping[str, str]) -> None:
    """Raises SetupError when a dataset's card names other configurations or columns than are asked for.

    info: of check_on_hub. config_name: as in load_dataset, `task.data_name`. columns: setting →
    column. A card that names none, as many do, is no reason for an error; loading finds out.
    """
    card = getattr(info, "card_data", None)
    found = (card.get("dataset_info") if card is not None else None) or []
    known = {
        str(one.get("config_name", "default")): [str(feature["name"]) for feature in one.get("features") or []]
        for one in (found if isinstance(found, list) else [found])
    }
    if not known:
        return
    if config_name is not None and config_name not in known and len(known) > 1:
        raise SetupError(f"task.data_name: {info.id} has no configuration {config_name!r}; it has {', '.join(known)}")
    there = known.get(config_name or "default") or next(iter(known.values()))
    if there:
        need_columns(there, columns, info.id)


def _cached(kind: str, name: str) -> bool:
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    return (Path(HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind) / "snapshots").is_dir()
