"""Reading a model's answer: a diff that passes the checks and is new, or why not."""

import re
from dataclasses import dataclass, field

from core import InvalidPatch, Program, StudyView, patch_hash
from overnight_llm import Rejected, plain

_BLOCK = re.compile(r"^```[ \t]*(?:diff|patch)?[ \t]*\r?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_START = re.compile(r"^(?:diff --git |--- )", re.MULTILINE)
_WHY = re.compile(r"^\W*why\W+(.+)$", re.MULTILINE | re.IGNORECASE)
_RATIONALE = 240


@dataclass
class Change:
    """What a model wants to change. patch: to the task's own program. why: one line, its own words."""

    patch: str
    why: str


@dataclass
class DiffReader:
    """Checks one question's answers against the program that the model was shown.

    view: its `program` is the task's own. base: what the model was shown. taken: hash of a diff →
    who has it, e.g. "trial 3".
    """

    view: StudyView
    base: Program
    taken: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> Change:
        """The change. Raises Rejected with what the checks say."""
        diff = diff_in(text)
        assert self.view.program is not None
        try:
            changed = self.base.patched(diff)
            # To the task's program, so that the proposal says by itself what is run.
            whole = self.view.program.diff(changed)
            if not whole:
                raise Rejected("with this change the program is the task's own again; propose something new")
            self.view.program.patched(whole)
        except InvalidPatch as refused:
            raise Rejected(f"{refused}. Give the whole diff again, against the program as it was shown") from None
        if (who := self.taken.get(patch_hash(whole))) is not None:
            raise Rejected(f"{who} is this same change; propose something else")
        said = _WHY.search(text)
        return Change(whole, plain(said.group(1), _RATIONALE) if said else "no reason given")


def diff_in(text: str) -> str:
    """The unified diff in an answer, with or without prose and code fences. Raises Rejected."""
    blocks = [block for block in _BLOCK.findall(text) if "@@" in block]
    found = "\n".join(block.rstrip("\n") for block in blocks)
    if not found and (start := _START.search(text)):
        found = text[start.start() :].split("\n```")[0]
    if not found.strip():
        raise Rejected("there is no unified diff in the answer; put one into a ```diff block")
    return found.replace("\r\n", "\n").strip("\n") + "\n"


def taken(view: StudyView) -> dict[str, str]:
    """Hashes of the diffs that trials have, also of those that failed."""
    trials = [trial for trial in (*view.trials, *view.running) if trial.proposal.patch]
    return {patch_hash(trial.proposal.patch or ""): f"trial {trial.number}" for trial in trials}
