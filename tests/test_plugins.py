"""Discovery: strangers are found through entry points, what is wrong is named, the rest works."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import PluginError, UsageError
from core.plugins import Registry, describe, discover

Install = Callable[..., None]
GOOD = """
class Good:
    \"\"\"A good policy.

    More.\"\"\"
    def __init__(self, config): pass
    def ask(self, view, n): return []
    def tell(self, trial): pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """install("dist-name", plugin="module source", other="module source"): a distribution on the path."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("bad_pack", "good_pack", "half", "mute")]:
        monkeypatch.delitem(sys.modules, name)  # of the test before, which had the same names

    def _install(name: str, version: str = "1.0", **modules: str) -> None:
        package = name.replace("-", "_")
        info = tmp_path / "site" / f"{package}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[overnight]\n{package} = {package}.plugin\n")
        folder = tmp_path / "site" / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)

    return _install


def hook(kind: str, names: dict[str, str], extra: str = "") -> str:
    return f"from core import hookimpl\n{extra}\n@hookimpl\ndef {kind}():\n    return {names!r}\n"


def row(registry: Registry, distribution: str) -> list[tuple[str, str, str]]:
    return [(p.kind, p.name, p.problem) for p in registry.plugins() if p.distribution == distribution]


def test_an_installed_package_is_found_with_its_description_and_not_imported_for_it(install: Install) -> None:
    install("my-pack", plugin=hook("policies", {"mine": "my_pack.heavy:Good"}), heavy=f"import nothing_like_it\n{GOOD}")
    registry = discover()
    assert row(registry, "my-pack") == [("policy", "mine", "")]
    assert describe(registry.find("policy", "mine")) == "A good policy."
    with pytest.raises(
        PluginError, match=r"cannot be imported from my_pack.heavy:Good: ModuleNotFoundError: No module"
    ):
        registry.load("policy", "mine")


def test_two_distributions_with_one_name_are_an_error_that_says_how_to_choose(install: Install) -> None:
    for name in ("pack-a", "pack-b"):
        package = name.replace("-", "_")
        install(name, plugin=hook("policies", {"same": f"{package}.policy:Good"}), policy=GOOD)
    registry = discover()
    with pytest.raises(PluginError, match="both pack-a and pack-b bring it; choose one with name: pack-a:same"):
        registry.load("policy", "same")
    assert registry.load("policy", "pack-b:same").__module__ == "pack_b.policy"
    assert all("choose one with" in problem for _, _, problem in row(registry, "pack-a"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import does_not_exist_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("overnight_contract = 99", "built for plugin contract 99, this Overnight has contract 1"),
        (hook("polices", {}), "implements a hook 'polices' that does not exist. Did you mean policies?"),
        (hook("policies", {"a": "no colon"}), 'must map names to "module:Class"'),
        (
            "from core import hookimpl\n@hookimpl\ndef tasks():\n    return ['a']",
            'must return {"name": "module:Class"}',
        ),
        ("from core import hookimpl\n@hookimpl\ndef tasks():\n    return 1 / 0", "ZeroDivisionError"),
        ("from core import hookimpl\n@hookimpl\ndef config_dirs():\n    return 'x'", "must return a list of strings"),
        ("from core import hookimpl\n@hookimpl\ndef study_started(studyy):\n    pass", "studyy"),
    ],
)
def test_a_broken_distribution_is_shown_with_its_cause_and_harms_no_other(
    install: Install, source: str, words: str
) -> None:
    install("bad-pack", plugin=source)
    install("good-pack", plugin=hook("policies", {"good": "good_pack.policy:Good"}), policy=GOOD)
    registry = discover()
    ((kind, name, problem),) = row(registry, "bad-pack")
    assert (kind, name) == ("plugin", "bad_pack")
    assert words in problem
    assert registry.load("policy", "good").__name__ == "Good"


def test_a_study_that_needs_a_broken_plugin_is_told_the_cause(install: Install) -> None:
    install("bad-pack", plugin="raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"no policy 'theirs' is installed.*\n.*bad-pack.*no licence"):
        discover().load("policy", "theirs")


def test_a_class_that_lacks_a_method_of_its_contract_is_refused(install: Install) -> None:
    install(
        "half", plugin=hook("policies", {"half": "half.policy:Half"}), policy="class Half:\n    def ask(self): pass"
    )
    with pytest.raises(PluginError, match=r"lacks tell"):
        discover().load("policy", "half")
    install("mute", plugin=hook("rewards", {"mute": "mute.reward:Mute"}), reward="class Mute:\n    pass")
    with pytest.raises(PluginError, match=r"lacks __call__"):
        discover().load("reward", "mute")


def test_unknown_settings_get_a_suggestion_and_the_list() -> None:
    with pytest.raises(UsageError, match=r"policy.startup_trails: unknown key. Did you mean startup_trials\? Keys: "):
        discover().build("policy", {"name": "tpe", "startup_trails": 3})
    with pytest.raises(UsageError, match=r"policy.startup_trials: input should be a valid integer.*got 'many'"):
        discover().build("policy", {"name": "tpe", "startup_trials": "many"})
    with pytest.raises(PluginError, match=r"policy.name: says which policy to use. There are: "):
        discover().build("policy", {})
