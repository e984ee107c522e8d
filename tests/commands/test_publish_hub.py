"""Publishing to the hub: the real client against a stand-in on the loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoints import checkpoint, save_model, study
from core.errors import Unreachable, UsageError
from core.publish.bundle import Bundle, gather
from core.publish.hub import publish_to_hub
from hub_server import CUT, LOST, TOKEN, HubServer, Repo, hub_server

pytest.importorskip("huggingface_hub")
Publish = Callable[..., str]
NAMES = ["README.md", "config.json", "model.safetensors", "tokenizer_config.json"]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub of its own for each test."""
    with hub_server() as found:
        yield found


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The incumbent of a study."""
    save_model(checkpoint(tmp_path))
    return gather(study(tmp_path), None, "me/it")


@pytest.fixture
def pauses() -> list[float]:
    """How long publishing paused, in place of pausing."""
    return []


@pytest.fixture
def publish(hub: HubServer, bundle: Bundle, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> Publish:
    """publish(name=…, overwrite=…) → URL."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda s: None)

    def _publish(name: str = "me/it", **more: Any) -> str:
        given: dict[str, Any] = {"bundle": bundle, "private": False, "overwrite": False, "token": TOKEN, **more}
        return publish_to_hub(name=name, endpoint=hub.url, sleep=pauses.append, **given)

    return _publish


def _whole(hub: HubServer, bundle: Bundle) -> None:
    repo = hub.repos["me/it"]
    assert sorted(repo.files) == [".gitattributes", *NAMES]
    for name, source in bundle.copied.items():
        assert repo.files[name] == source.read_bytes()
    for name, content in bundle.written.items():
        assert repo.files[name] == content


def _published_before(publish: Publish, hub: HubServer, tmp_path: Path) -> Bundle:
    """Another trial of the study, while the first one and an old file are at the hub."""
    publish()
    hub.repos["me/it"].files["pytorch_model.bin"] = b"old"
    save_model(checkpoint(tmp_path, 2), seed=5)
    return gather(study(tmp_path), 2, "me/it")


def test_what_is_downloaded_is_what_was_published_in_one_commit(
    publish: Publish, hub: HubServer, bundle: Bundle, tmp_path: Path
) -> None:
    assert publish() == f"{hub.url}/me/it"
    _whole(hub, bundle)
    assert [sorted(paths) for paths in hub.repos["me/it"].commits] == [NAMES]
    assert hub.repos["me/it"].lfs == {"model.safetensors"}
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.url, token=TOKEN)
    found = Path(api.snapshot_download("me/it", cache_dir=tmp_path / "hf"))
    bundle.copy_to(tmp_path / "expected")
    for name in NAMES:
        assert (found / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()
    assert 'from_pretrained("me/it")' in (found / "README.md").read_text()


def test_publishing_again_sends_no_weights_and_makes_no_commit(
    publish: Publish, hub: HubServer, bundle: Bundle
) -> None:
    publish()
    publish()
    assert len(hub.repos["me/it"].commits) == 1
    assert hub.asked("PUT /objects/") == 1
    _whole(hub, bundle)


def test_another_trial_of_the_study_replaces_the_files_and_removes_the_rest(
    publish: Publish, hub: HubServer, bundle: Bundle, tmp_path: Path
) -> None:
    other = _published_before(publish, hub, tmp_path)
    publish(bundle=other)
    _whole(hub, other)


def test_another_model_is_replaced_only_on_demand(publish: Publish, hub: HubServer, bundle: Bundle) -> None:
    theirs = {"README.md": b"# Mine", "config.json": b"{}", "model.safetensors": b"precious"}
    hub.repos["me/it"] = Repo(files={".gitattributes": b"", **theirs})
    with pytest.raises(UsageError, match="already holds a model that is not of this study"):
        publish()
    assert hub.repos["me/it"].files["model.safetensors"] == b"precious"
    publish(overwrite=True)
    _whole(hub, bundle)


def test_private_makes_a_private_repository_and_never_uploads_to_a_public_one(publish: Publish, hub: HubServer) -> None:
    publish(private=True)
    assert hub.repos["me/it"].private
    hub.repos["me/open"] = Repo()
    with pytest.raises(UsageError, match="exists and is public; nothing was uploaded"):
        publish("me/open", private=True)
    assert not hub.repos["me/open"].files


def test_large_weights_go_in_parts_and_a_part_that_is_lost_is_sent_again(
    publish: Publish, hub: HubServer, bundle: Bundle
) -> None:
    size = bundle.copied["model.safetensors"].stat().st_size
    hub.chunk = size // 3 - 1  # four parts, the last a short one
    hub.fault("PUT /objects/", 500)
    publish()
    _whole(hub, bundle)
    assert hub.asked("PUT /objects/") == 5
    assert hub.asked("/complete") == 1


def test_somebody_elses_commit_in_between_is_waited_out(publish: Publish, hub: HubServer, bundle: Bundle) -> None:
    hub.fault("/commit/", 412)
    publish()
    _whole(hub, bundle)


def test_a_card_that_the_hub_refuses_is_said_to_be_one(publish: Publish, hub: HubServer) -> None:
    hub.refused_card = '"license" must be one of the known ones'
    with pytest.raises(UsageError, match=r"the hub refuses the model card: .*\"license\" must be one of"):
        publish()
    assert hub.repos["me/it"].commits == []


@pytest.mark.parametrize("status", [500, 503, 429, CUT])
def test_a_passing_fault_at_every_step_is_waited_out(
    publish: Publish, hub: HubServer, bundle: Bundle, status: int
) -> None:
    api = "/api/models/me/it"
    steps = ("/api/repos/create", f"GET {api}", f"{api}/preupload", "batch", "PUT /objects", "verify", f"{api}/commit")
    for step in steps:
        hub.fault(step, status, **({"Retry_After": "0"} if status == 429 else {}))
    publish()
    assert not hub.faults, "every fault was met"
    _whole(hub, bundle)
    assert len(hub.repos["me/it"].commits) == 1


def test_the_hub_says_how_long_to_wait_and_is_obeyed(publish: Publish, hub: HubServer, pauses: list[float]) -> None:
    hub.fault("repos/create", 429, Retry_After="17")
    hub.fault("repos/create", 503)
    publish()
    assert pauses == [17.0, 2.0]


def test_a_hub_that_asks_for_an_hour_is_left_to_the_person(
    publish: Publish, hub: HubServer, pauses: list[float]
) -> None:
    hub.fault("repos/create", 429, Retry_After="3600")
    with pytest.raises(Unreachable, match="fewer requests"):
        publish()
    assert pauses == []


def test_a_hub_out_of_order_is_given_up_in_the_end_and_holds_no_half_model(
    publish: Publish, hub: HubServer, bundle: Bundle, pauses: list[float]
) -> None:
    hub.fault("/commit/", 500, times=100)
    with pytest.raises(Unreachable, match=r"out of order or busy \(500\); nothing is half published"):
        publish()
    assert pauses == [1.0, 2.0, 4.0]
    assert sorted(hub.repos["me/it"].files) == [".gitattributes"]
    hub.faults.clear()
    publish()
    assert hub.asked("PUT /objects/") == 1, "what was uploaded is not sent again"
    _whole(hub, bundle)


def test_a_connection_cut_for_good_is_named_and_may_be_tried_again(publish: Publish, hub: HubServer) -> None:
    hub.fault("repos/create", CUT, times=4)
    with pytest.raises(Unreachable, match=r"cannot be reached .*give the same command again"):
        publish()


def test_a_commit_whose_answer_is_lost_counts_also_where_it_deleted_files(
    publish: Publish, hub: HubServer, bundle: Bundle, tmp_path: Path
) -> None:
    other = _published_before(publish, hub, tmp_path)
    hub.fault("/commit/", LOST)
    publish(bundle=other)
    _whole(hub, other)


@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("repos/create", 401, r"does not accept the token \(401\)"),
        ("/commit/", 403, r"may not write to me/it \(403\)"),
        ("PUT /objects", 403, r"\(403\)"),
        ("/commit/", 507, "has no room"),
        ("objects/batch", 402, r"has no room for me/it \(402\)"),
        ("/preupload/", 404, r"knows no me/it that this token may write to \(404\)"),
        ("/commit/", 400, r"refuses the upload \(400\)"),
    ],
)
def test_what_a_person_must_change_is_said_at_once(
    publish: Publish, hub: HubServer, pauses: list[float], where: str, status: int, words: str
) -> None:
    hub.fault(where, status, times=9)
    with pytest.raises(UsageError, match=words) as caught:
        publish()
    assert pauses == []
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_token_and_a_wrong_owner_are_told_apart(publish: Publish, hub: HubServer) -> None:
    with pytest.raises(UsageError, match="does not accept the token"):
        publish(token="hf_wrongwrongwrong")
    with pytest.raises(UsageError, match="is 'them' yours"):
        publish("them/it")
    assert not hub.repos


def test_without_a_token_nothing_is_asked(
    publish: Publish, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="needs a token with write access"):
        publish(token=None)
    assert hub.requests == []


def test_the_command_reads_endpoint_and_token_from_the_environment(
    cli: Callable[..., Any], run: Callable[..., Any], hub: HubServer, tmp_path: Path
) -> None:
    run(budget={"trials": 2})
    save_model((tmp_path / "study/best").resolve())
    surroundings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
    done = cli("publish", "study", "--to", "hub:me/it", HF_TOKEN=TOKEN, **surroundings)
    assert done.returncode == 0, done.stderr
    assert f"MB: {hub.url}/me/it\n" in done.stdout
    assert done.stderr == ""
    assert set(NAMES) < set(hub.repos["me/it"].files)
    refused = cli("publish", "study", "--to", "hub:me/it", HF_TOKEN="hf_wrongwrongwrong", **surroundings)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: the hub does not accept the token (401)")
