"""The wheels carry all that they need: installed beside the libraries, outside the checkout, they run a study."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from core.study.launch import read_facts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheels, and the libraries of this one, but nothing of the checkout."""
    place = tmp_path_factory.mktemp("wheels")
    shutil.copytree(
        ROOT, place / "source", ignore=shutil.ignore_patterns(".*", "build", "dist", "studies", "*.egg-info", "tests")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    plugins = sorted(str(path.parent) for path in (place / "source" / "plugins").glob("*/pyproject.toml"))
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(place / "dist"), str(place / "source"), *plugins]
    subprocess.run([*pip, *build], check=True)
    shutil.rmtree(place / "source")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    wheels = sorted(str(path) for path in (place / "dist").glob("*.whl"))
    fresh = place / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", str(fresh), "install", "--no-deps", *wheels], check=True)
    # A plain path line: the other environment's libraries, without its editable installs.
    site = next((place / "venv" / "lib").glob("python*")) / "site-packages"
    libraries = {sysconfig.get_path("purelib"), str(Path(pytest.__file__).parents[1])}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n", encoding="utf-8")
    return fresh


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_study_runs_from_the_wheels_alone(python: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [python, "-c", "import core; print(core.__file__)"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(where.stdout.strip()).is_relative_to(python.parents[1])
    settings = ("budget.trials=1", "task.validation_items=50", "task.test_items=50", "task.space.steps.default=20")
    ran = subprocess.run(
        [python, "-m", "core", "+experiment=smoke", *settings, f"dir={tmp_path / 'study'}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert read_facts(tmp_path / "study").state == "finished"
    for name in ("report.html", "report.md", "progress.png", "results.tsv"):
        assert (tmp_path / "study" / name).stat().st_size > 100
