"""The ssh executor's settings: how hosts are written, what their environments are to hold."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core import SetupError
from overnight_executor_ssh.config import SshConfig
from overnight_jobs import requirements


@pytest.mark.parametrize(
    ("written", "host", "user", "port"),
    [
        ("gpu1", "gpu1", None, None),
        ("me@gpu1", "gpu1", "me", None),
        ("me@gpu1.example.org:2222", "gpu1.example.org", "me", 2222),
        ("[fe80::1]:22", "fe80::1", None, 22),
        ("me@[::1]", "::1", "me", None),
    ],
)
def test_hosts_are_written_as_ssh_has_them(written: str, host: str, user: str | None, port: int | None) -> None:
    (found,) = SshConfig(hosts=[written]).hosts
    assert (found.host, found.user, found.port) == (host, user, port)
    assert found.name == written


def test_a_hosts_own_settings_come_before_those_of_all() -> None:
    config = SshConfig(
        hosts=["one", {"host": "two", "slots": 3, "root": "/scratch"}], slots=2, python="/usr/bin/python3"
    )
    one, two = (config.of(host) for host in config.hosts)
    assert (one.slots, one.root, one.python, one.gpus) == (2, "~/.overnight", "/usr/bin/python3", "auto")
    assert (two.slots, two.root, two.python, two.gpus) == (3, "/scratch", "/usr/bin/python3", "auto")


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("me@gpu1", "a list of hosts is needed"),
        (["me at gpu1"], "is no host: write user@host"),
        (["gpu1", "gpu1"], "named twice: gpu1"),
        ([{"host": "gpu1", "slot": 3}], "Extra inputs are not permitted"),
    ],
)
def test_hosts_that_cannot_be_meant_are_refused(hosts: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SshConfig(hosts=hosts)


def test_the_environment_holds_what_is_installed_here_without_what_only_searches_or_shows() -> None:
    found = requirements.lines("auto")
    names = {line.partition("==")[0].lower() for line in found}
    assert {"pydantic", "pluggy"} <= names
    assert not any(name.startswith("overnight") for name in names)
    assert not {"asyncssh", "wandb", "basilica-sdk", "pytest"} & names
    assert all("==" in line and "+" not in line for line in found), "a local version names a build for this machine"


def test_torch_comes_first_and_a_file_of_requirements_is_read(tmp_path: Path) -> None:
    (tmp_path / "wanted.txt").write_text("# mine\ntorch==2.13.0\n\ntorchvision\nnumpy>=2\n")
    found = requirements.lines(str(tmp_path / "wanted.txt"))
    assert found == ["torch==2.13.0", "torchvision", "numpy>=2"]
    assert requirements.first(found) == ["torch==2.13.0"]
    with pytest.raises(SetupError, match=r"executor\.requirements: .*nowhere.* cannot be read"):
        requirements.lines(str(tmp_path / "nowhere"))
