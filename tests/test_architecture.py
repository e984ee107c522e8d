"""The shape of the house: core names no plugin, modules say what they are for, files stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
PLUGINS = sorted(path for path in (ROOT / "plugins").glob("*/overnight_*/**/*.py"))
KINDS = ("tasks", "policies", "executors", "rewards", "trackers", "decisions")


def built_in_names() -> set[str]:
    """The names that built-in plugins give their classes, read from their plugin modules."""
    names = set()
    for path in (ROOT / "plugins").glob("*/overnight_*/plugin.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in KINDS:
                names |= {
                    key.value
                    for found in ast.walk(node)
                    if isinstance(found, ast.Dict)
                    for key in found.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
    return names


def test_core_names_no_plugin() -> None:
    names = built_in_names()
    assert {"grpo_arithmetic", "tpe", "local", "wandb", "greedy"} <= names
    # Common words that core uses for something else: a column, a format string's field.
    names -= {"random", "format"}
    # The versions of the libraries a study ran on are recorded, whoever uses them.
    allowed = {
        ("core/study/launch.py", "wandb"),
        ("core/testing/light.py", "wandb"),
        ("core/testing/light.py", "ray"),  # the library, whose import is looked for
        ("core/testing/tracker.py", "wandb"),
    }
    for path in CORE:
        where = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
                assert (where, node.value) in allowed, f"{where} names the plugin {node.value!r}"


@pytest.mark.parametrize("path", [*CORE, *PLUGINS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_in_its_first_line_what_it_is_for_and_stays_small(path: Path) -> None:
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, "no module docstring"
    assert docstring.splitlines()[0].endswith((".", ":")), docstring.splitlines()[0]
    assert len(source.splitlines()) <= 400


def test_no_file_is_called_utils() -> None:
    assert not [path for path in (*CORE, *PLUGINS) if path.stem in ("utils", "util", "helpers", "misc", "common")]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_nothing_of_core_but_its_public_face(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "core":
            assert node.module == "core", f"{path.name} imports from {node.module}"
        if isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("core.")]
