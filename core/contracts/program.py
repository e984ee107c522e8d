"""A task's program: the text files that a patch may change, and the checks that a patch must pass."""

import ast
import difflib
import hashlib
import io
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.contracts.errors import ContractError

_MOST_CHARACTERS = 400_000  # of a patch and of a file: more is a mistake, or a way to fill the disk
_GIT_S = 20.0
# A file's part without git's own heading; without it, counting anew runs into the next file's part.
_HEAD = re.compile(r"^(--- a/(.+)\n\+\+\+ b/\2)$", re.MULTILINE)
# Language models miscount the lines of a hunk, which git can count itself, and end hunks without
# context, which git takes for the file's end.
_FORGIVEN = ((), ("--recount",), ("--recount", "--unidiff-zero"))


class InvalidPatch(ContractError):
    """A patch that must not run; the message says why, in words for whoever wrote it."""


@dataclass(frozen=True)
class Program:
    """The editable program of a task, whole.

    files: path inside the program → text; a patch may change these and make no others.
    required_calls: names that must still be called or defined somewhere in its Python files.
    about: what the person says of it (program.md), "" = nothing.
    """

    files: Mapping[str, str]
    required_calls: tuple[str, ...] = ()
    about: str = ""
    _known: dict[str, "Program"] = field(default_factory=dict, compare=False, repr=False)

    def patched(self, patch: str) -> "Program":
        """This program with a unified diff applied. Raises InvalidPatch: it does not apply, changes
        nothing, touches other files, does not compile, or a required call is gone. Nothing is run."""
        if patch not in self._known:
            self._known[patch] = replace(self, files=self._applied(patch), _known={})
        return self._known[patch]

    def diff(self, other: "Program") -> str:
        """The unified diff that makes `other` of this program; "" if they are the same."""
        parts = []
        for name, text in self.files.items():
            before, after = (list(io.StringIO(each)) for each in (text, other.files[name]))  # lines as git sees them
            lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
            for line in lines:
                parts.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
        return "".join(parts)

    def _applied(self, patch: str) -> dict[str, str]:
        if len(patch) > _MOST_CHARACTERS:
            raise InvalidPatch(f"the patch has {len(patch)} characters, more than {_MOST_CHARACTERS}")
        if not re.search(r"^@@ ", patch, re.MULTILINE):
            raise InvalidPatch("this is no unified diff: it has no hunk that begins with @@")
        with tempfile.TemporaryDirectory(prefix="overnight-patch-") as name:
            tree = Path(name)
            for inside, text in self.files.items():
                (tree / inside).parent.mkdir(parents=True, exist_ok=True)
                (tree / inside).write_text(text, encoding="utf-8", newline="")
            self._apply(patch, tree)
            found = self._read(tree)
        if found == dict(self.files):
            raise InvalidPatch("the patch changes nothing")
        _check_python(found, self.required_calls)
        return found

    def _apply(self, patch: str, tree: Path) -> None:
        whole = patch if "diff --git " in patch else _HEAD.sub(r"diff --git a/\2 b/\2\n\1", patch)
        refusals = []
        for forgiven in _FORGIVEN:
            try:
                self._check_names(_git(tree, whole, *forgiven, "--numstat", "-z"))
                _git(tree, whole, *forgiven)
                return
            except InvalidPatch as refused:
                refusals.append(refused)
        raise refusals[0]

    def _check_names(self, numstat: str) -> None:
        # "added<TAB>removed<TAB>path", of a rename "added<TAB>removed<TAB>" and two paths of their own.
        touched = {part.split("\t")[-1] for part in numstat.split("\0") if part.split("\t")[-1]}
        if foreign := sorted(touched - set(self.files)):
            raise InvalidPatch(f"the patch touches {', '.join(foreign)}; only {', '.join(self.files)} may be changed")

    def _read(self, tree: Path) -> dict[str, str]:
        found = {}
        for inside in self.files:
            path = tree / inside
            if path.is_symlink() or not path.is_file():
                raise InvalidPatch(f"the patch removes {inside}, or makes something else of it than a file")
            try:
                found[inside] = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError as error:
                raise InvalidPatch(f"{inside} is no UTF-8 after the patch: {error}") from None
            if len(found[inside]) > _MOST_CHARACTERS:
                raise InvalidPatch(f"{inside} has more than {_MOST_CHARACTERS} characters after the patch")
        made = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())
        if extra := [name for name in made if name not in self.files]:
            raise InvalidPatch(f"the patch makes {', '.join(extra)}; only {', '.join(self.files)} may be changed")
        return found


def patch_hash(patch: str) -> str:
    """A name for what a patch does: the same for the same changed lines, wherever they stand and
    however they are spaced."""
    lines = []
    for line in patch.split("\n"):
        if line.startswith(("+++ ", "--- ")):
            lines.append(line.split("\t")[0].strip())
        elif line.startswith(("+", "-")) and line[1:].strip():
            lines.append(line[0] + " ".join(line[1:].split()))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()[:16]


def _git(tree: Path, patch: str, *show: str) -> str:
    """`git apply` in a folder that is no repository; the person's git configuration is not read."""
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(tree), "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    given = patch if patch.endswith("\n") else patch + "\n"
    command = ["git", "apply", "--whitespace=nowarn", *show, "-"]
    try:
        done = subprocess.run(
            command, cwd=tree, env=env, input=given.encode("utf-8", "replace"), capture_output=True, timeout=_GIT_S,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise InvalidPatch("patches need git, and this machine has none: install git") from None
    except subprocess.TimeoutExpired:
        raise InvalidPatch(f"git could not apply the patch within {_GIT_S:g} s") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode("utf-8", "replace").replace("error: ", "").split())[:400]
        raise InvalidPatch(f"the patch does not apply: {said}")
    return done.stdout.decode("utf-8", "replace")


def _check_python(files: Mapping[str, str], required: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name, text in files.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(text, name)
            compile(text, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f", line {error.lineno}: {(error.text or '').strip()}" if isinstance(error, SyntaxError) else ""
            raise InvalidPatch(f"{name} does not compile: {getattr(error, 'msg', error)}{where}") from None
        seen |= _called_or_defined(tree)
    if gone := [name for name in required if name not in seen]:
        raise InvalidPatch(f"the patch removes what the task needs: {', '.join(gone)} must still be called or defined")


def _called_or_defined(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Call):
            found |= _names(node.func)
    return found


def _names(called: ast.expr) -> set[str]:
    """a.b.c and c of a.b.c(); c alone of what is not reached by names only, such as a().c()."""
    parts: list[str] = []
    while isinstance(called, ast.Attribute):
        parts.append(called.attr)
        called = called.value
    if isinstance(called, ast.Name):
        parts.append(called.id)
        return {parts[0], ".".join(reversed(parts))}
    return set(parts[:1])
