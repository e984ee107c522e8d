"""The environment of jobs on a host, a real sshd: found, made once, or said to be impossible."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosts import Sshd, reachable
from ssh_jobs import eventually, job, token, until

from core import Resources, SetupError
from core.contracts import Executor

_GOOD = "open('result.json', 'w').write('{}')"
Make = Callable[..., Executor]


def test_a_python_that_cannot_run_jobs_is_said(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    nowhere = make(sshd.keys, hosts=[sshd.name], python="/opt/nowhere/python", root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=r"executor\.python is /opt/nowhere/python, which does not run there"):
        nowhere.offers(Resources())
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\necho \'overnight:["/usr/bin/python3", [3, 8, 10], "/"]\'; exit 1\n')
    old.chmod(0o755)
    executor = make(sshd.keys, hosts=[sshd.name], python=str(old), root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=r"Python 3\.11 or newer is needed, and /usr/bin/python3 is 3\.8\.10"):
        executor.offers(Resources())
    lacking: Any = make(sshd.keys, hosts=[sshd.name], python=_bare(tmp_path), root=str(tmp_path / "far"))
    handle = lacking.submit(job(_GOOD), token(1))
    with pytest.raises(SetupError, match="cannot import pluggy and pydantic"):
        until(lacking, handle)
    assert lacking.diagnose()[-1].level == "fail"
    assert "torch" in lacking.diagnose()[-1].todo


def _bare(folder: Path) -> str:
    """A virtual environment with nothing in it."""
    import venv

    venv.create(folder / "venv", symlinks=True)
    return str(folder / "venv" / "bin" / "python")


def wheel(folder: Path, name: str, value: int) -> str:
    """A wheel of one module that holds a value; returns its requirement."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{value}.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{value}.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"value = {value}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {value}.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}=={value}.0"


def test_an_environment_is_made_once_and_jobs_wait_for_it(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    wanted = wheel(tmp_path / "wheels", "overnight_probe", 7)
    options = {
        "hosts": [sshd.name], "python": "auto", "requirements": [wanted], "root": str(tmp_path / "far"),
        "pip_args": ["--no-index", "--find-links", str(tmp_path / "wheels")], "slots": 2,
    }  # fmt: skip
    executor: Any = make(sshd.keys, **options)
    assert [found.level for found in executor.diagnose()] == ["ok", "warn"]
    code = "import overnight_probe, sys; assert overnight_probe.value == 7; print(sys.prefix);" + _GOOD
    first = executor.submit(job(code), token(1))
    second = executor.submit(job(code, token(2)), token(2))
    reasons = set()

    def installing() -> bool:
        seen = executor.poll([first])[0]
        reasons.add(seen.reason)
        return seen.state != "provisioning"

    assert eventually(installing, 120)
    assert any("installing the environment (" in reason for reason in reasons), reasons
    seen = [until(executor, handle) for handle in (first, second)]
    assert [each.state for each in seen] == ["succeeded"] * 2, seen
    (made,) = (path for path in (tmp_path / "far" / "env").iterdir() if path.is_dir())
    assert executor.logs(first, 0)[0].decode().strip() == str(made)
    stamp = (made / "pyvenv.cfg").stat().st_mtime_ns
    again = make(sshd.keys, workspace=tmp_path / "other", **options)
    assert until(again, again.submit(job(code, token(3)), token(3))).state == "succeeded"
    assert (made / "pyvenv.cfg").stat().st_mtime_ns == stamp
    assert [found.level for found in executor.diagnose()] == ["ok", "ok"]


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_stops_the_study_with_the_words_of_pip(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    (tmp_path / "wheels").mkdir()
    executor: Any = make(
        sshd.keys, hosts=[sshd.name], python="auto", requirements=["no-such-package==1.0"], root=str(tmp_path / "far"),
        pip_args=["--no-index", "--find-links", str(tmp_path / "wheels")],
    )  # fmt: skip
    handle = executor.submit(job(_GOOD), token(1))
    with pytest.raises(SetupError, match=r"(?s)No matching distribution found for no-such-package.*executor\.pip_args"):
        until(executor, handle, within_s=120)
    with pytest.raises(SetupError, match="no-such-package"):
        executor.submit(job(_GOOD, token(2)), token(2))
    found = executor.diagnose()[-1]
    assert (found.level, "no-such-package" in found.said) == ("fail", True)
    executor.cancel(handle, 0.0)
    assert executor.find(handle.token) is None
    assert reachable("127.0.0.1", sshd.port)
