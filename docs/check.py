"""Checks that README and docs say what the program does: commands, exit codes, code blocks, links, words."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_CHECKED = re.compile(r"<!-- check: (?P<command>[^>]+?) -->\n```\n(?P<output>.*?)```", re.DOTALL)
_MODULE = re.compile(r"```python\n# (?P<path>[\w/]+\.py)\n(?P<code>.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#]+)\)")


def main() -> int:
    """Run all checks; prints each problem and returns 1 if there is any."""
    problems = [problem for page in PAGES for problem in (*commands(page), *links(page))]
    problems += [*exit_codes(), *example_package(ROOT / "docs" / "plugins.md"), *settings(ROOT / "docs" / "index.md")]
    for problem in problems:
        print(f"docs: {problem}")
    print(f"docs: {len(PAGES)} pages checked, {len(problems)} problems")
    return 1 if problems else 0


def commands(page: Path) -> list[str]:
    """Run what `<!-- check: COMMAND -->` names and compare its output with the block that follows."""
    problems = []
    for found in _CHECKED.finditer(page.read_text(encoding="utf-8")):
        words = found["command"].split()
        assert words[0] == "python", words
        with tempfile.TemporaryDirectory() as folder:
            ran = subprocess.run(
                [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
        shown = "".join(line for line in (ran.stdout + ran.stderr).splitlines(keepends=True))
        if shown.strip() != found["output"].strip():
            problems.append(f"{page.name}: `{found['command']}` prints\n{shown}")
    return problems


def links(page: Path) -> list[str]:
    """Relative links must lead somewhere."""
    targets = [found["target"] for found in _LINK.finditer(page.read_text(encoding="utf-8"))]
    return [f"{page.name}: no {target}" for target in targets if not (page.parent / target).exists()]


def exit_codes() -> list[str]:
    """The README's table must name every exit code."""
    from core.errors import EXIT_CODES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for code in row.split(",")}
    return [f"README.md: exit codes {sorted(documented ^ set(EXIT_CODES))}"] if documented != set(EXIT_CODES) else []


def settings(page: Path) -> list[str]:
    """Settings named in the user guide must exist in the composed configuration."""
    shown = subprocess.run(
        [sys.executable, "-m", "core", "--cfg", "job", "--resolve"], capture_output=True, text=True, check=True
    )
    from omegaconf import OmegaConf

    config = OmegaConf.create(shown.stdout)
    keys = re.findall(r"^\| `([a-z_.`, ]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = [key for group in keys for key in re.split(r"`, `", group)]
    absent = object()
    composed = {key: OmegaConf.select(config, key, default=absent) for key in named if key != "tracker"}
    return [f"{page.name}: no setting {key}" for key, value in composed.items() if value is absent]


def example_package(page: Path) -> list[str]:
    """The guide's modules, put together as a package, must be found, built and pass the suites."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        for found in _MODULE.finditer(page.read_text(encoding="utf-8")):
            path = site / found["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found["code"], encoding="utf-8")
        (site / "my_pack" / "__init__.py").touch()
        conf = site / "my_pack" / "conf" / "policy"
        conf.mkdir(parents=True)
        (conf.parent / "__init__.py").touch()
        (conf / "coin.yaml").write_text("name: coin\nheads: 0.5\n", encoding="utf-8")
        info = site / "my_pack-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-pack\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text("[overnight]\nmy_pack = my_pack.plugin\n", encoding="utf-8")
        plugin = site / "my_pack" / "plugin.py"
        kinds = {
            "tasks": "guess:Guess",
            "rewards": "polite:Polite",
            "decisions": "patient:Patient",
            "trackers": "bell:Bell",
        }
        for kind, target in kinds.items():
            name = target.partition(":")[0]
            declared = f'\n\n@hookimpl\ndef {kind}():\n    return {{"{name}": "my_pack.{target}"}}\n'
            plugin.write_text(plugin.read_text(encoding="utf-8") + declared, encoding="utf-8")
        (site / "tests" / "test_more.py").write_text(_MORE_SUITES, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, "tests"],
            cwd=folder, env={**_environment(), "PYTHONPATH": folder}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return [] if ran.returncode == 0 else [f"{page.name}: the guide's plugins fail\n{ran.stdout[-3000:]}"]


_MORE_SUITES = """
from core.testing import DecisionConformance, RewardConformance, TaskConformance

class TestGuess(TaskConformance):
    name = "guess"
    test_every_setting_can_be_given_on_the_command_line = None
    test_a_stop_is_honoured_and_still_leaves_a_checkpoint = None

class TestPolite(RewardConformance):
    name = "polite"
    test_chat_messages_are_taken_too = None

class TestPatient(DecisionConformance):
    name = "patient"
    test_every_setting_can_be_given_on_the_command_line = None
"""


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


if __name__ == "__main__":
    sys.exit(main())
