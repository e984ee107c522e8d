"""Conformance of executors: the sentences of core.contracts.Executor as tests, with real jobs."""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core.contracts import TERMINAL, Executor, Handle, Job, NotYet, Observation, Resources
from core.plugins import discover
from core.testing.light import heavy_imports, missing_in_yaml

_GOOD = "import json; open('result.json', 'w').write(json.dumps({'status': 'succeeded'}))"
# Reaping finds processes by their owner on the whole machine: two runs of this suite must not share one.
_OWNER, _OTHER = (f"study-{letter}-{secrets.token_hex(3)}" for letter in "ab")
_TOKEN = f"{_OWNER}/0001/train/a1"


class ExecutorConformance:
    """Subclass it and give `name` (and `options`); patience_s: how long a trivial job may take."""

    name: str
    options: ClassVar[dict[str, Any]] = {}
    patience_s = 30.0

    def make(self, workspace: Path) -> Executor:
        """An instance on a workspace; several on the same one stand for restarts."""
        executor: Executor = discover().build("executor", {"name": self.name, **self.options}, workspace=workspace)
        return executor

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Path:
        """A study's folder for the executor; it need not exist yet."""
        return tmp_path / "study" / ".executor"

    @pytest.fixture
    def executor(self, workspace: Path) -> Iterator[Executor]:
        """An executor whose jobs are gone after the test."""
        executor = self.make(workspace)
        yield executor
        executor.reap(_OWNER, ())
        executor.reap(_OTHER, ())

    def job(self, code: str, token: str = _TOKEN, **more: Any) -> Job:
        """A job that runs Python code."""
        return Job(**{"token": token, "owner": _OWNER, "command": ("python", "-c", code), "deadline_s": 60.0, **more})

    def start(self, executor: Executor, code: str, token: str = _TOKEN, **more: Any) -> Handle:
        """Submit a job that runs Python code."""
        job = self.job(code, token, **more)
        return executor.submit(job, job.token)

    def wait(self, executor: Executor, handle: Handle, *states: str) -> Observation:
        """Poll until one of the states (by default any terminal one)."""
        end = time.monotonic() + self.patience_s
        while time.monotonic() < end:
            (seen,) = executor.poll([handle])
            if seen.state in (states or TERMINAL):
                return seen
            time.sleep(0.02)
        raise AssertionError(f"{handle.token} is still {seen.state} after {self.patience_s} s")

    def gone(self, executor: Executor, handle: Handle, grace_s: float = 1.0) -> None:
        """Cancel until it is gone."""
        end = time.monotonic() + self.patience_s
        while True:
            try:
                return executor.cancel(handle, grace_s)
            except NotYet:
                assert time.monotonic() < end, f"{handle.token} cannot be cancelled"
                time.sleep(0.02)

    def test_it_has_slots_and_offers_something_for_a_small_request(self, executor: Executor) -> None:
        assert executor.caps().slots >= 1
        offers = executor.offers(Resources())
        assert offers
        assert all(offer.usd_per_hour >= 0 and offer.hardware for offer in offers)

    def test_an_impossible_request_gets_no_offer(self, executor: Executor) -> None:
        assert list(executor.offers(Resources(gpus=100_000))) == []

    def test_submit_returns_before_the_job_ends(self, executor: Executor) -> None:
        started = time.monotonic()
        handle = self.start(executor, "import time; time.sleep(60)")
        assert time.monotonic() - started < 10
        assert self.wait(executor, handle, "running").state == "running"

    def test_a_job_that_leaves_a_result_succeeds_and_stays_so(self, executor: Executor) -> None:
        handle = self.start(executor, _GOOD)
        assert self.wait(executor, handle).state == "succeeded"
        (again,) = executor.poll([handle])
        assert (again.state, again.exit_code) == ("succeeded", 0)

    def test_exit_code_zero_without_a_result_is_no_success(self, executor: Executor) -> None:
        assert self.wait(executor, self.start(executor, "print('score=1.0')")).state == "failed"

    def test_a_failing_job_fails_with_its_exit_code_whatever_it_wrote(self, executor: Executor) -> None:
        seen = self.wait(executor, self.start(executor, f"{_GOOD}; import sys; sys.exit(7)"))
        assert (seen.state, seen.exit_code) == ("failed", 7)

    def test_the_same_token_starts_nothing_twice_also_after_a_restart(
        self, executor: Executor, workspace: Path
    ) -> None:
        code = "import time; open('starts.txt', 'a').write('x'); time.sleep(60)"
        first = self.start(executor, code, outputs=("starts.txt",))
        self.wait(executor, first, "running")
        assert self.start(executor, code) == first
        assert self.start(self.make(workspace), code) == first
        time.sleep(0.3)
        dest = workspace.parent / "fetched"
        executor.fetch(first, dest)
        assert (dest / "starts.txt").read_text() == "x"

    def test_find_knows_a_submitted_token_and_no_other(self, executor: Executor, workspace: Path) -> None:
        handle = self.start(executor, "import time; time.sleep(60)")
        self.wait(executor, handle, "running")
        assert executor.find(handle.token) == handle
        assert self.make(workspace).find(handle.token) == handle
        assert executor.find(f"{_OWNER}/0099/train/a1") is None

    def test_poll_answers_in_the_order_of_the_question(self, executor: Executor) -> None:
        good = self.start(executor, _GOOD, f"{_OWNER}/0001/train/a1")
        bad = self.start(executor, "raise SystemExit(2)", f"{_OWNER}/0002/train/a1")
        self.wait(executor, good)
        self.wait(executor, bad)
        assert [seen.token for seen in executor.poll([bad, good])] == [bad.token, good.token]
        assert [seen.state for seen in executor.poll([bad, good])] == ["failed", "succeeded"]
        assert list(executor.poll([])) == []

    def test_logs_and_metrics_are_read_by_offset_while_it_runs(self, executor: Executor) -> None:
        code = (
            "import sys, time; print('hello', flush=True); sys.stderr.write('error\\n');"
            "open('metrics.jsonl', 'w').write('{\"step\": 1}\\n'); time.sleep(60)"
        )
        handle = self.start(executor, code)
        assert self.read(executor, handle, "log", b"error\n") in (b"hello\nerror\n", b"error\nhello\n")
        assert self.read(executor, handle, "metrics", b"}\n") == b'{"step": 1}\n'
        data, offset = executor.logs(handle, 6, "log")
        assert (len(data), offset) == (6, 12)
        assert executor.logs(handle, 12, "log") == (b"", 12)

    def read(self, executor: Executor, handle: Handle, stream: Any, until: bytes) -> bytes:
        """Everything of a stream so far, once it holds `until`."""
        end, found, offset = time.monotonic() + self.patience_s, b"", 0
        while until not in found and time.monotonic() < end:
            data, offset = executor.logs(handle, offset, stream)
            found += data
            time.sleep(0.02)
        return found

    def test_fetch_brings_outputs_and_log_whole_and_again(self, executor: Executor, tmp_path: Path) -> None:
        code = (
            f"import os; os.makedirs('checkpoint/deep'); open('checkpoint/deep/w.bin', 'wb').write(b'\\0' * 100000);"
            f"print('said'); open('secret.txt', 'w').write('not asked for'); {_GOOD}"
        )
        handle = self.start(executor, code, outputs=("result.json", "checkpoint", "absent.txt"))
        self.wait(executor, handle)
        for _ in range(2):
            manifest = executor.fetch(handle, tmp_path / "fetched")
            found = {str(p.relative_to(tmp_path / "fetched")) for p in (tmp_path / "fetched").rglob("*") if p.is_file()}
            assert found == {"result.json", "checkpoint/deep/w.bin", "log.txt"} == set(manifest.files)
            for name, digest in manifest.files.items():
                assert hashlib.sha256((tmp_path / "fetched" / name).read_bytes()).hexdigest() == digest
            assert (tmp_path / "fetched" / "log.txt").read_text() == "said\n"

    def test_files_are_placed_in_the_job_folder_and_originals_stay_untouched(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.txt").write_text("alpha")
        (tmp_path / "spec.json").write_text("{}")
        code = "a = open('given/a.txt').read(); open('spec.json', 'w').write('spoilt');" + _GOOD.replace(
            "'status'", "a: 1, 'status'"
        )
        handle = self.start(executor, code, files={"spec.json": tmp_path / "spec.json", "given": tmp_path / "in"})
        assert self.wait(executor, handle).state == "succeeded"
        executor.fetch(handle, tmp_path / "fetched")
        assert json.loads((tmp_path / "fetched" / "result.json").read_text())["alpha"] == 1
        assert (tmp_path / "spec.json").read_text() == "{}"

    def test_the_far_side_ends_a_job_at_its_deadline_even_one_that_ignores_sigterm(self, executor: Executor) -> None:
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        handle = self.start(executor, deaf, deadline_s=1.0, grace_s=0.5)
        seen = self.wait(executor, handle)
        assert (seen.state, seen.reason) == ("failed", "deadline")
        assert seen.seconds < 8, "SIGKILL comes grace_s seconds after SIGTERM, not later"

    def test_cancel_ends_a_job_that_ignores_sigterm_and_absent_is_success(self, executor: Executor) -> None:
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        code = f"{deaf}; print('up', flush=True); time.sleep(600)"
        handle = self.start(executor, code)
        self.read(executor, handle, "log", b"up")
        self.gone(executor, handle, grace_s=0.3)
        executor.cancel(handle, 0.0)
        assert executor.find(handle.token) is None
        assert executor.logs(handle, 0) == (b"", 0)
        executor.cancel(Handle(f"{_OWNER}/0098/train/a1", "never"), 0.0)

    def test_a_job_of_which_nothing_is_left_is_lost_and_not_an_error(self, executor: Executor) -> None:
        handle = self.start(executor, _GOOD)
        self.wait(executor, handle)
        self.gone(executor, handle)
        (seen,) = executor.poll([handle])
        assert seen.state == "lost"

    def test_jobs_get_their_env_and_no_secrets_of_the_controller(
        self, executor: Executor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("OPENAI_API_KEY", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_PASSWORD"):
            monkeypatch.setenv(name, "a-planted-secret")
        code = "import json, os; open('result.json', 'w').write(json.dumps(dict(os.environ)))"
        handle = self.start(executor, code, env={"ASKED_FOR": "yes"})
        self.wait(executor, handle)
        executor.fetch(handle, tmp_path / "fetched")
        env = json.loads((tmp_path / "fetched" / "result.json").read_text())
        assert env["ASKED_FOR"] == "yes"
        assert "a-planted-secret" not in env.values()

    def test_reap_ends_what_is_not_live_of_this_study_only(self, executor: Executor) -> None:
        sleep = "import time; time.sleep(600)"
        stale = self.start(executor, sleep, f"{_OWNER}/0001/train/a1")
        live = self.start(executor, sleep, f"{_OWNER}/0002/train/a1")
        foreign = self.start(executor, sleep, f"{_OTHER}/0001/train/a1", owner=_OTHER)
        for handle in (stale, live, foreign):
            self.wait(executor, handle, "running")
        assert executor.reap(_OWNER, {live.token}).tokens == (stale.token,)
        assert executor.find(stale.token) is None
        assert [seen.state for seen in executor.poll([live, foreign])] == ["running", "running"]
        assert executor.reap(_OWNER, {live.token}).tokens == ()

    def test_naming_it_imports_nothing_heavy(self) -> None:
        assert heavy_imports("executor", self.name) == []

    def test_every_setting_can_be_given_on_the_command_line(self) -> None:
        assert missing_in_yaml("executor", self.name) == set()
