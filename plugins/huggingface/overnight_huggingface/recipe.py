"""Editable recipes: the part of a training run that a policy may rewrite by a patch."""

from pathlib import Path
from types import ModuleType

from core import Program, TrainContext

FILE = "recipe.py"


def program(source: Path, required: tuple[str, ...]) -> Program:
    """A package's recipe as a task's program; `program.md` beside it says what may be done with it."""
    about = source.with_name("program.md").read_text(encoding="utf-8")
    return Program({FILE: source.read_text(encoding="utf-8")}, required, about)


def load(context: TrainContext, source: Path) -> ModuleType:
    """The recipe that this run trains with: the patched one if there is one, else the package's own."""
    recipe = ModuleType("recipe")
    if context.program is None:
        recipe.__file__, text = str(source), source.read_text(encoding="utf-8")
    else:
        recipe.__file__, text = FILE, context.program[FILE]
    exec(compile(text, recipe.__file__, "exec"), vars(recipe))
    return recipe
