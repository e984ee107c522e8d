"""Faults 59 to 64: what people and other people's packages get wrong, met on the command line."""

import os
from pathlib import Path
from typing import Any

import pytest

from support import QUICK, overnight

GOOD = """
from core import PluginConfig
class Good:
    class Config(PluginConfig):
        default_first: bool = True
        dedupe: bool = True
    def __init__(self, config): pass
    def ask(self, view, n): return []
    def tell(self, trial): pass
"""


def package(site: Path, name: str, plugin: str, **modules: str) -> None:
    """A distribution that is installed below `site`, with an entry point."""
    folder = name.replace("-", "_")
    info = site / f"{folder}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[overnight]\n{folder} = {folder}.plugin\n")
    (site / folder).mkdir()
    for module, source in {"__init__": "", "plugin": plugin, **modules}.items():
        (site / folder / f"{module}.py").write_text(source)


def brings(target: str, extra: str = "") -> str:
    return f"from core import hookimpl\n{extra}\n@hookimpl\ndef policies():\n    return {{'mine': {target!r}}}\n"


def study(tmp_path: Path, *settings: str) -> Any:
    """Start a study with that package on the path; nothing may have been begun by one that is refused."""
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    return overnight(*QUICK, *settings, f"dir={tmp_path / 'study'}", cwd=tmp_path, PYTHONPATH=path)


def refused(ran: Any, tmp_path: Path, *words: str) -> None:
    assert ran.returncode == 2, ran.stdout + ran.stderr
    for word in words:
        assert word in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "study" / "journal.db").exists()


@pytest.mark.fault(59, "a typo in the configuration", "refused with a suggestion, nothing started")
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("budget.trails=3", ("budget.trails", "did you mean", "trials")),
        ("task.stepz=3", ("task.stepz", "did you mean", "steps")),
        ("policy=randon", ("randon", "did you mean", "random")),
    ],
)
def test_a_typo(tmp_path: Path, tally: Any, setting: str, words: tuple[str, ...]) -> None:
    ran = study(tmp_path, setting)
    tally.injected += 1
    refused(ran, tmp_path, setting.partition("=")[0].partition(".")[0])
    for word in words:
        assert word.lower() in ran.stderr.lower()


@pytest.mark.fault(60, "a value of the wrong type", "refused, naming key and value")
@pytest.mark.parametrize("setting", ["budget.trials=many", "grace_s=-1", "task.steps=half", "executor.slots=0"])
def test_a_wrong_type(tmp_path: Path, tally: Any, setting: str) -> None:
    ran = study(tmp_path, setting)
    tally.injected += 1
    refused(ran, tmp_path, *setting.split("="))


@pytest.mark.fault(61, "a plugin that raises at import", "shown as broken; other studies run")
def test_a_plugin_that_raises(tmp_path: Path, tally: Any) -> None:
    package(tmp_path / "site", "broken-pack", "raise RuntimeError('no licence')")
    refused(study(tmp_path, "policy.name=mine"), tmp_path, "broken-pack", "RuntimeError: no licence")
    ran = study(tmp_path)
    assert ran.returncode == 0, ran.stderr
    tally.injected += 2


@pytest.mark.fault(62, "a plugin with a wrong signature", "refused, or stopped resumably with its name")
def test_a_plugin_of_another_shape(tmp_path: Path, tally: Any) -> None:
    package(
        tmp_path / "site",
        "half-pack",
        brings("half_pack.policy:Good"),
        policy="class Good:\n    def tell(self, t): pass",
    )
    refused(study(tmp_path, "policy.name=mine"), tmp_path, "half-pack", "lacks ask")
    package(
        tmp_path / "site", "odd-pack", brings("odd_pack.policy:Good").replace("'mine'", "'odd'"),
        policy=GOOD.replace("self, view, n", "self, view"),
    )  # fmt: skip
    ran = study(tmp_path, "policy.name=odd")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "policy 'odd' failed to propose: TypeError" in ran.stderr
    assert "resume" in ran.stderr
    tally.injected += 2


@pytest.mark.fault(63, "a plugin for another contract version", "refused with both versions")
def test_a_plugin_of_another_contract(tmp_path: Path, tally: Any) -> None:
    package(tmp_path / "site", "old-pack", brings("old_pack.policy:Good", "overnight_contract = 999"), policy=GOOD)
    refused(study(tmp_path, "policy.name=mine"), tmp_path, "old-pack", "built for plugin contract 999")
    tally.injected += 1


@pytest.mark.fault(64, "two plugins of one name", "refused, with how to choose")
def test_two_plugins_of_one_name(tmp_path: Path, tally: Any) -> None:
    for name in ("pack-a", "pack-b"):
        package(tmp_path / "site", name, brings(f"{name.replace('-', '_')}.policy:Good"), policy=GOOD)
    refused(study(tmp_path, "policy.name=mine"), tmp_path, "pack-a", "pack-b", "choose one with name: pack-a:mine")
    ran = study(tmp_path, "policy.name='pack-b:mine'")
    assert "no trial completed" in ran.stderr, "it was chosen, and had nothing to propose"
    tally.injected += 2
