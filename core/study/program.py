"""The study's program: what patches are to, and a git repository of it that is the research log."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.contracts import BASELINE, HasProgram, InvalidPatch, Program, SetupError, Study, Task, Tracker, Trial
from core.errors import UsageError
from core.marker import hookimpl
from core.study.layout import Layout
from core.worker.spec import PROGRAM

PATCH = "patch.diff"
_BRANCH = "study"
_TRAILER = "Overnight-Trial"
_GIT_S = 30.0


def program_of(task: Task, layout: Layout) -> Program | None:
    """The task's program as it was when the study began; None where the task has none.

    The first commit of the study's repository has it; it is made here if there is none yet. Without
    git the task's own is given, and patches are refused later. Raises UsageError.
    """
    if not isinstance(task, HasProgram):
        return None
    try:
        program = task.program()
    except SetupError as error:
        raise UsageError(str(error)) from error
    repository = Repository(layout.directory)
    try:
        if not repository.exists():
            repository.begin(program)
        return replace(program, files=repository.first(program.files), _known={})
    except FileNotFoundError:
        return program
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"the study's program cannot be kept in {repository.folder}: {_why(error)}") from error


def placed(program: Program | None, layout: Layout, trial: Trial) -> dict[str, Path]:
    """Write a trial's patch and the program that it makes into its folder: name in the job's folder →
    place here. Raises InvalidPatch, OSError; nothing is run."""
    patch = trial.proposal.patch
    if patch is None:
        return {}
    if program is None:
        raise InvalidPatch("this task has no program that a patch could change")
    patched = program.patched(patch)
    folder = layout.trial(trial.number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PATCH).write_text(patch, encoding="utf-8")
    for name, text in patched.files.items():
        path = folder / PROGRAM / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return {PROGRAM: folder / PROGRAM, PATCH: folder / PATCH}


class Repository:
    """`program/` in a study directory: a work tree that holds the incumbent's program, and its history.

    Branch `study`: one commit for each incumbent, with its scores. Branches `trial/0007`: the program
    of each trial with a patch, on top of the incumbent of its time. Nobody's git configuration is
    read, nor hooks: what is committed was proposed by a machine.
    """

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "program"

    def exists(self) -> bool:
        """Whether it was begun, whole. Raises FileNotFoundError where there is no git."""
        if not (self.folder / ".git").is_dir():
            return False
        try:
            return bool(self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{_BRANCH}"))
        except subprocess.CalledProcessError:
            return False

    def begin(self, program: Program) -> None:
        """Make it, with the task's own program as its first commit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._git("init", "-q", f"--initial-branch={_BRANCH}")
        commit = self._commit(program.files, None, "The program as the task has it\n\nOvernight-Trial: 0\n")
        self._git("update-ref", f"refs/heads/{_BRANCH}", commit)
        self._git("reset", "-q", "--hard", _BRANCH)

    def first(self, names: Mapping[str, str]) -> dict[str, str]:
        """The files of the first commit."""
        root = self._git("rev-list", "--max-parents=0", _BRANCH).split()[0]
        return {name: self._git("show", f"{root}:{name}") for name in names}

    def head(self) -> int:
        """The number of the trial that the last commit is of."""
        found = self._git("log", "-1", f"--format=%(trailers:key={_TRAILER},valueonly)", _BRANCH).strip()
        return int(found) if found.isdigit() else BASELINE

    def propose(self, files: Mapping[str, str], number: int, message: str) -> None:
        """Put a trial's program on a branch of its own."""
        commit = self._commit(files, _BRANCH, message)
        self._git("update-ref", f"refs/heads/trial/{number:04d}", commit)

    def keep(self, files: Mapping[str, str], message: str) -> None:
        """Commit an incumbent's program on the study's branch and show it in the work tree."""
        commit = self._commit(files, _BRANCH, message)
        self._git("update-ref", f"refs/heads/{_BRANCH}", commit)
        self._git("reset", "-q", "--hard", _BRANCH)

    def _commit(self, files: Mapping[str, str], parent: str | None, message: str) -> str:
        index = {"GIT_INDEX_FILE": str(self.folder / ".git" / "overnight-index")}
        (self.folder / ".git" / "overnight-index").unlink(missing_ok=True)
        for name, text in files.items():
            blob = self._git("hash-object", "-w", "--stdin", given=text).strip()
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", env=index)
        tree = self._git("write-tree", env=index).strip()
        parents = ["-p", parent] if parent else []
        return self._git("commit-tree", tree, *parents, "-F", "-", given=message).strip()

    def _git(self, *words: str, given: str = "", env: Mapping[str, str] | None = None) -> str:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "Overnight"), ("EMAIL", "overnight@localhost"))}  # fmt: skip
        plain = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
        plain |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
        command = ["git", "-c", f"safe.directory={self.folder}", "-c", "core.hooksPath=/dev/null", *words]
        done = subprocess.run(
            command, cwd=self.folder, env={**plain, **who, **(env or {})}, input=given.encode("utf-8", "replace"),
            capture_output=True, timeout=_GIT_S, check=True,
        )  # fmt: skip
        return done.stdout.decode("utf-8", "replace")


class ProgramLog(Tracker):
    """Writes the research log: told like a tracker, in the trackers' thread, so that git delays nothing."""

    def __init__(self, program: Program, directory: Path) -> None:
        self._program = program
        self._repository = Repository(directory)

    @hookimpl
    def study_started(self, study: Study) -> None:
        """Catch up with what was decided when a controller was killed."""
        if study.incumbent != BASELINE:
            self.incumbent_changed(study, study.trial(study.incumbent))

    @hookimpl
    def trial_proposed(self, study: Study, trial: Trial) -> None:
        """A trial with a patch gets its branch."""
        if trial.proposal.patch is None:
            return
        try:
            files = self._program.patched(trial.proposal.patch).files
        except InvalidPatch:
            return  # the trial fails and says why
        self._repository.propose(files, trial.number, _proposed(trial))

    @hookimpl
    def incumbent_changed(self, study: Study, trial: Trial) -> None:
        """An incumbent becomes a commit, also one of parameters alone: the log has every step."""
        if self._repository.head() == trial.number:
            return
        patch = trial.proposal.patch
        files = self._program.files if patch is None else self._program.patched(patch).files
        self._repository.keep(files, kept_message(study, trial))

    def notes(self) -> list[str]:
        """Where the log is, if it says anything."""
        if self._repository.head() == BASELINE:
            return []
        return [f"Research log: git -C {self._repository.folder} log"]


def kept_message(study: Study, trial: Trial) -> str:
    """The commit's message: what was tried, why, what it scored, against what."""
    metric, found = study.objective.metric, trial.evaluation
    score = f"{metric} {found.value:.4g} [{found.low:.4g}, {found.high:.4g}]" if found else "no score"
    lines = [f"Trial {trial.number}: {score}", ""]
    if trial.proposal.rationale:
        lines += [_line(trial.proposal.rationale), ""]
    lines += [f"{name} = {value}" for name, value in trial.proposal.params.items()]
    if found:
        lines.append(f"n = {found.n} ({found.split}), seed {trial.training_seed(study.seed)}, {trial.seconds:.1f} s")
    if trial.decision:
        lines.append(f"decision: {trial.decision.verdict}: {_line(trial.decision.reason)}")
    return "\n".join([*lines, "", f"{_TRAILER}: {trial.number}", ""])


def with_log(program: Program | None, layout: Layout, trackers: Mapping[str, Tracker]) -> dict[str, Tracker]:
    """The trackers, and the research log where there is a repository to write it in."""
    if program is None or not (Repository(layout.directory).folder / ".git").is_dir():
        return dict(trackers)
    return {**trackers, PROGRAM: ProgramLog(program, layout.directory)}


def _proposed(trial: Trial) -> str:
    return f"Trial {trial.number}: {_line(trial.proposal.rationale) or 'proposed'}\n\n{_TRAILER}: {trial.number}\n"


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:300]


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return " ".join(bytes(error.stderr or b"").decode("utf-8", "replace").split())[:300]
    return str(error)
