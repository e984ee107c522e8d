"""`doctor`: what works, what does not and what to do about it; nothing raises, hangs or starts."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import overnight

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
STRANGE = '''
import time
from core import Caps, Diagnosis, Offer, PluginConfig, SetupError

class Sound:
    """An executor."""
    class Config(PluginConfig):
        place: str = ""
    def __init__(self, config, workspace):
        self.workspace = workspace
    def caps(self): return Caps()
    def offers(self, request): return [Offer("a thing", 1.5, 3)] if request.gpus else [Offer("a cheap thing", 0.25)]
    def submit(self, job, token): raise AssertionError("nothing is started")
    find = poll = logs = fetch = cancel = reap = submit

class Doubtful(Sound):
    """Has something to say."""
    def diagnose(self):
        return [Diagnosis("ok", "is there"), Diagnosis("warn", "is slow", "buy a faster one")]

class Hanging(Sound):
    """Never answers."""
    def diagnose(self):
        time.sleep(600)

class Unready(Sound):
    """Needs a person."""
    def __init__(self, config, workspace):
        raise SetupError("the credentials have expired; log in again")

class Raising(Sound):
    """Is out of order."""
    def diagnose(self):
        raise ZeroDivisionError("one over none")

class Empty(Sound):
    """Has nothing to offer."""
    def offers(self, request): return []
'''
NAMES = {name: f"strange_pack.strange:{name.capitalize()}" for name in (
    "sound", "doubtful", "hanging", "unready", "raising", "empty", "absent")}  # fmt: skip
NAMES["unmade"] = "strange_pack.unmade:Unmade"


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more distributions for the processes of a test: one full of executors, one that cannot be imported."""
    site = tmp_path / "site"
    plugin = (
        f"from core import hookimpl\n\n@hookimpl\ndef executors():\n    return {NAMES!r}\n\n"
        f"@hookimpl\ndef config_dirs():\n    return ['pkg://strange_pack.conf']\n"
    )
    unmade = "import a_library_that_nobody_has\n"
    for package, modules in {
        "strange_pack": {"plugin": plugin, "strange": STRANGE, "unmade": unmade},
        "broken_pack": {"plugin": "raise RuntimeError('this distribution is broken')\n"},
    }.items():
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[overnight]\n{package} = {package}.plugin\n")
        (site / package).mkdir()
        (site / package / "__init__.py").touch()
        for name, source in modules.items():
            (site / package / f"{name}.py").write_text(source)
    conf = site / "strange_pack" / "conf"
    (conf / "executor").mkdir(parents=True)
    (conf / "__init__.py").touch()
    (conf / "executor" / "unready.yaml").write_text("name: unready\n")
    (conf / "executor" / "sound.yaml").write_text("name: sound\nplace: ???\n")
    monkeypatch.setenv("PYTHONPATH", str(site))


def examined(found: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(found.stdout)["executors"]}


def worst(one: dict[str, Any]) -> dict[str, str]:
    return next(found for found in one["found"] if found["level"] == "fail")


def test_the_default_executor_works_here_and_nothing_is_left_behind(cli: Cli, tmp_path: Path) -> None:
    found = cli("doctor")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "✓ executor local (chosen)" in found.stdout
    assert "free of charge" in found.stdout
    assert "A study with executor=local can start here." in found.stdout
    for word in ("Python 3.", "torch", "free in", "the cache", "W&B", "litellm"):
        assert word in found.stdout, word
    assert [path.name for path in tmp_path.iterdir()] == []


def test_as_json_the_same_facts_and_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from core.__main__ import main; main(['doctor', '--json']);"
        "print([name for name in ('torch', 'wandb', 'litellm') if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stderr == "[]\n"
    shown = json.loads(found.stdout)
    assert list(shown) == ["works", "machine", "executors"]
    assert all(list(line) == ["level", "said", "todo"] for line in shown["machine"])
    chosen = shown["executors"][0]
    assert (chosen["name"], chosen["chosen"], chosen["works"]) == ("local", True, True)
    assert chosen["offers"][0]["usd_per_hour"] == 0


@pytest.mark.usefixtures("strange")
def test_what_is_broken_hangs_or_needs_a_person_is_said_with_the_cure_and_the_rest_works(cli: Cli) -> None:
    began = time.monotonic()
    found = cli("doctor", "--json", "--limit", "3")
    assert time.monotonic() - began < 20, "one hanging executor holds up nobody else"
    assert found.returncode == 0, "the chosen one works"
    assert found.stderr == ""
    one = examined(found)
    assert one["local"]["works"]
    assert [line["said"] for line in one["doubtful"]["found"]] == ["is there", "is slow"]
    assert one["doubtful"]["works"], "a doubt is no failure"
    offers = one["doubtful"]["offers"]
    assert [(offer["usd_per_hour"], offer["available"]) for offer in offers] == [(0.25, None), (1.5, 3)]
    for name, said, todo in (
        ("sound", "executor.place must be given", "python -m core doctor executor=sound executor.KEY=VALUE"),
        ("hanging", "did not answer within 3 s", "--limit"),
        ("unready", "the credentials have expired; log in again", "python -m core doctor executor=unready"),
        ("raising", "ZeroDivisionError: one over none", "report it to the authors of strange-pack"),
        ("empty", "has no machine for resources cpus=1", "choose another executor"),
        ("absent", "has no attribute 'Absent'", "mend or uninstall strange-pack"),
        ("unmade", "No module named 'a_library_that_nobody_has'", "or a_library_that_nobody_has if it is a library"),
        ("broken_pack", "this distribution is broken", "mend or uninstall broken-pack 1.0"),
    ):
        assert not one[name]["works"], name
        assert said in worst(one[name])["said"], one[name]
        assert todo in worst(one[name])["todo"], one[name]
    assert one["broken_pack"]["kind"] == "plugin"


@pytest.mark.usefixtures("strange")
def test_the_exit_code_is_that_of_the_chosen_executor(cli: Cli) -> None:
    assert cli("doctor", "executor=sound", "executor.place=here", "--limit", "1").returncode == 0
    found = cli("doctor", "executor=unready", "--limit", "1")
    assert found.returncode == 2
    assert "✗ executor unready (chosen)" in found.stdout
    assert "A study with executor=unready would not work: see ✗ above." in found.stdout


def test_an_executor_without_a_diagnosis_is_asked_for_its_offers(cli: Cli) -> None:
    found = cli("doctor", "executor=example_subprocess", "executor.usd_per_hour=2", "--json")
    assert found.returncode == 0, found.stdout
    one = examined(found)["example_subprocess"]
    assert one["found"] == [{"level": "ok", "said": "offers a subprocess (it has no diagnosis of its own)", "todo": ""}]
    assert one["offers"] == [{"hardware": "a subprocess", "usd_per_hour": 2.0, "available": None}]
    lacking = cli("doctor", "executor=example_subprocess", "resources.gpus=1")
    assert lacking.returncode == 2
    assert "has no machine for resources cpus=1 gpus=1" in lacking.stdout


def test_wrong_settings_of_the_chosen_executor_are_a_finding_and_a_typo_gets_one_line(cli: Cli) -> None:
    wrong = cli("doctor", "executor.slots=0")
    assert wrong.returncode == 2
    assert "executor.slots: input should be" in wrong.stdout
    for arguments, words in (
        (["executor=locl"], "executor: there is no 'locl'. Did you mean local?"),
        (["executor.slotz=3"], "executor.slotz: no such setting. Did you mean executor.slots?"),
        (["resources.gpus=many"], "resources.gpus: input should be a valid integer"),
        (["local"], "local"),
    ):
        found = cli("doctor", *arguments)
        assert found.returncode == 2
        assert words in found.stderr
        assert len(found.stderr.strip().splitlines()) == 1, found.stderr


def test_a_place_that_cannot_be_written_in_is_a_failure(tmp_path: Path) -> None:
    found = overnight("doctor", "dir=/proc/study", cwd=tmp_path, OVERNIGHT_CACHE="/proc/cache")
    assert found.returncode == 2
    assert "studies are kept in /proc, where nothing can be written" in found.stdout
    assert "set OVERNIGHT_CACHE to a folder that can" in found.stdout


def test_credentials_are_named_by_their_place_and_never_shown(tmp_path: Path) -> None:
    secret = "0123456789" * 4
    found = overnight("doctor", cwd=tmp_path, WANDB_API_KEY=secret, WANDB_MODE="")
    assert "online, with the credentials of WANDB_API_KEY" in found.stdout
    assert secret not in found.stdout
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {secret}\n")
    (tmp_path / ".netrc").chmod(0o600)
    found = overnight("doctor", cwd=tmp_path, HOME=str(tmp_path), WANDB_API_KEY="", WANDB_MODE="")
    assert f"online, with the credentials of {tmp_path}/.netrc" in found.stdout
    assert "offline, as WANDB_MODE says" in overnight("doctor", cwd=tmp_path, WANDB_MODE="offline").stdout


@pytest.mark.parametrize(
    ("script", "said", "todo"),
    [
        (None, "bubblewrap is not installed: trials with a patch cannot run", "apt-get install bubblewrap"),
        (
            "echo 'No permissions to create a new namespace' >&2; exit 1",
            "cannot start here (No perm",
            "user namespaces",
        ),
        ("exit 0", "bubblewrap works", ""),
    ],
)
def test_whether_patches_can_run_here_is_tried(tmp_path: Path, script: str | None, said: str, todo: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if script is not None:
        (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bwrap").chmod(0o755)
    found = overnight("doctor", "--json", cwd=tmp_path, PATH=str(folder))
    (one,) = (each for each in json.loads(found.stdout)["machine"] if "bubblewrap" in each["said"])
    assert said in one["said"]
    assert todo in one["todo"]
    assert one["level"] == ("warn" if todo else "ok")
