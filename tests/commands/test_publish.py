"""Publishing into a folder: what belongs to the model, all of it, or nothing at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoints import checkpoint, save_adapter, save_model, study
from core.__main__ import main
from core.journal.facts import StudyFacts

Publish = Callable[..., int]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """publish(facts, "--to", …) → exit code of the command on a study whose journal says so."""

    def _publish(facts: StudyFacts, *arguments: object) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("core.commands.publish.read_facts", lambda directory: facts)
        return main(["publish", str(facts.study.directory), *map(str, arguments)])

    return _publish


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of a study."""
    directory = tmp_path / "secret-home" / "study"
    directory.mkdir(parents=True)
    return directory


def _tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_incumbent_is_published_with_its_card_and_without_leftovers(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_model(checkpoint(home))
    (source / "optimizer.pt").write_bytes(b"x" * 10)
    (source / "training_args.bin").write_bytes(b"x")
    (source / ".hidden").write_text("x")
    (source / "link.json").symlink_to("/etc/hostname")
    save_model(source / "checkpoint-3")
    assert publish(study(home), "--to", "folder:out/model") == 0
    out = tmp_path / "out/model"
    assert _tree(out) == ["README.md", "config.json", "model.safetensors", "tokenizer_config.json"]
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    card = (out / "README.md").read_text()
    assert card.startswith("---\n")
    for words in ("library_name: transformers", "pipeline_tag: text-generation", "n=500", "quick-1, trial 1"):
        assert words in card
    assert "secret-home" not in card
    said = capsys.readouterr().out
    assert f"Published trial 1, 4 files, 0.0 MB: {out}" in said
    left = ".hidden, checkpoint-3, link.json, optimizer.pt, training_args.bin"
    assert f"Left out: {left} (not part of the model)." in said
    assert _tree(tmp_path / "out") == ["model", *(f"model/{name}" for name in _tree(out))], "nothing partial stays"


def test_files_in_folders_of_the_model_are_published_too(publish: Publish, home: Path, tmp_path: Path) -> None:
    source = save_model(checkpoint(home))
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates/tools.jinja").write_text("{{ x }}")
    assert publish(study(home), "--to", "out") == 0
    assert (tmp_path / "out/additional_chat_templates/tools.jinja").read_text() == "{{ x }}"


def test_as_json_it_says_what_was_published(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(checkpoint(home, 2))
    assert publish(study(home), "--to", "out", "--trial", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trial"] == 2
    assert found["place"] == str(tmp_path / "out")
    assert found["files"] == ["README.md", "config.json", "model.safetensors", "tokenizer_config.json"]
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert "not what its study holds to be best" in found["verdict"]


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def _garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _none(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _bad_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": [')


def _missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "model.safetensors is corrupt: it has "),
        (_garbage, "model.safetensors is corrupt: its header cannot be read"),
        (_empty, "model.safetensors is corrupt: its header cannot be read (0 bytes)"),
        (_none, "its weights are missing"),
        (_no_config, "it holds neither config.json nor adapter_config.json"),
        (_bad_config, "config.json is corrupt"),
        (_missing_shard, "names model-00002.safetensors, which is missing"),
    ],
)
def test_what_is_not_whole_is_not_published(
    publish: Publish,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    words: str,
) -> None:
    damage(save_model(checkpoint(home)))
    assert publish(study(home), "--to", "out") == 2
    error = capsys.readouterr().err
    assert "the checkpoint of trial 1 cannot be published" in error
    assert words in error
    assert not (tmp_path / "out").exists()


def test_an_adapter_names_the_hubs_model_in_place_of_a_folder_of_this_machine(
    publish: Publish, home: Path, tmp_path: Path
) -> None:
    source = save_adapter(checkpoint(home), "/secret-home/models/base")
    assert publish(study(home, task={"model": "some-org/base-model"}), "--to", "out") == 0
    settings = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "some-org/base-model"
    assert settings["revision"] is None
    assert settings["r"] == 4
    card = (tmp_path / "out/README.md").read_text()
    assert "base_model: some-org/base-model" in card
    assert "base_model_relation: adapter" in card
    assert "PeftModel.from_pretrained" in card
    assert "secret-home" not in card
    assert "/secret-home" in (source / "adapter_config.json").read_text(), "the study itself stays as it is"


def test_an_adapter_of_a_model_that_is_nowhere_else_is_published_with_a_warning(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_adapter(checkpoint(home), "/secret-home/models/base")
    assert publish(study(home), "--to", "out") == 0
    assert "the adapter's base model is a folder of this machine" in capsys.readouterr().out
    assert "/secret-home" not in (tmp_path / "out/README.md").read_text()


def test_settings_that_name_folders_of_this_machine_lose_them(publish: Publish, home: Path, tmp_path: Path) -> None:
    save_model(checkpoint(home), _name_or_path="/secret-home/models/base")
    assert publish(study(home), "--to", "out") == 0
    assert json.loads((tmp_path / "out/config.json").read_text()) == {"architectures": ["LlamaForCausalLM"]}


def test_a_folder_with_something_in_it_is_replaced_only_on_demand_and_whole(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_model(checkpoint(home))
    out = save_model(tmp_path / "out", seed=7)
    (out / "old.json").write_text("{}")
    assert publish(study(home), "--to", "out") == 2
    assert "is not empty (config.json, model.safetensors, old.json …)" in capsys.readouterr().err
    assert (out / "old.json").exists()
    assert publish(study(home), "--to", "out", "--overwrite") == 0
    assert _tree(out) == ["README.md", "config.json", "model.safetensors", "tokenizer_config.json"]
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_what_is_no_model_is_not_replaced_even_on_demand(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(checkpoint(home))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for place, words in [
        ("thesis", "holds no model (chapter.tex), so it is not replaced"),
        ("file", "is no folder"),
        (home, "would write over the study itself"),
        (home / "trials/0001", "would write over the study itself"),
        (home.parent, "would write over the study itself"),
    ]:
        assert publish(study(home), "--to", place, "--overwrite") == 2
        assert words in capsys.readouterr().err
    assert (tmp_path / "thesis/chapter.tex").exists()
    assert checkpoint(home).is_dir()


def test_a_folder_that_fails_half_way_leaves_the_old_one(
    publish: Publish, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(checkpoint(home))
    out = save_model(tmp_path / "out", seed=7)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.publish.bundle.shutil.copyfile", full)
    assert publish(study(home), "--to", "out", "--overwrite") == 2
    assert "(No space left on device)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name or ".old" in path.name) == []


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({"incumbent": 0}, (), "nothing to publish: no trial of quick beat the starting model (trials 1, 2 completed"),
        ({}, ("--trial", 0), "trial 0 is the untouched starting model"),
        ({}, ("--trial", 9), "quick has no trial 9"),
        ({}, ("--trial", 2), "the checkpoint of trial 2 cannot be published, it is not there"),
        ({}, ("--private",), "--private is for the hub"),
    ],
)
def test_what_cannot_be_published_is_refused_with_the_choice(
    publish: Publish,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    arguments: tuple[object, ...],
    words: str,
) -> None:
    save_model(checkpoint(home))
    assert publish(study(home, **changes), "--to", "out", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unfinished_study_warns_and_its_card_says_so(
    publish: Publish, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(checkpoint(home))
    assert publish(study(home, state="stopped"), "--to", "out") == 0
    said = capsys.readouterr().out
    assert "Note: the study is not finished (stopped)" in said
    assert "The test split has not been opened" in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("hub:", "the name is missing"),
        ("hub:model", "the owner is missing; did you mean hub:YOUR-NAME/model?"),
        ("hub:me/my model", "did you mean hub:me/my-model?"),
        ("hub:a/b/c", "did you mean hub:a/b?"),
        ("hub:me/a--b", "did you mean hub:me/a-b?"),
        ("https://huggingface.co/me/it", "did you mean hub:me/it?"),
        ("hf:me/it", "did you mean hub:me/it?"),
        ("folder:", "a place is missing"),
    ],
)
def test_a_malformed_destination_is_refused_with_a_better_one(
    publish: Publish, home: Path, capsys: pytest.CaptureFixture[str], target: str, words: str
) -> None:
    assert publish(study(home), "--to", target) == 2
    assert words in capsys.readouterr().err


def test_a_real_study_of_a_task_without_model_files_is_refused_and_with_them_published(
    run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "study"
    run(budget={"trials": 2})
    best = directory / "best"
    number = int(best.resolve().parent.name)
    assert main(["publish", str(directory), "--to", str(tmp_path / "out")]) == 2
    assert f"the checkpoint of trial {number} cannot be published" in capsys.readouterr().err
    save_model(best.resolve())
    assert main(["publish", str(directory), "--to", str(tmp_path / "out")]) == 0
    assert f"Published trial {number}" in capsys.readouterr().out
    assert f"trial {number}" in (tmp_path / "out/README.md").read_text()
