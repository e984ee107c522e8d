"""A program's patches: what passes the checks, and that nothing else does."""

import subprocess
from pathlib import Path

import pytest

from core import InvalidPatch, Program, patch_hash

TRAIN = "import os\n\nRATE = 1\n\n\ndef go():\n    report(RATE)\n\n\ngo()\n"
PROGRAM = Program({"train.py": TRAIN, "lib/model.py": "DEPTH = 2\n"}, ("report",), "Make it better.")


def diff(old: str, new: str, name: str = "train.py") -> str:
    """The diff that replaces a line, as git makes it."""
    changed = {**PROGRAM.files, name: PROGRAM.files[name].replace(old, new)}
    return PROGRAM.diff(Program(changed))


def test_a_patch_changes_what_it_says_and_nothing_else() -> None:
    patched = PROGRAM.patched(diff("RATE = 1", "RATE = 2"))
    assert patched.files == {**PROGRAM.files, "train.py": TRAIN.replace("RATE = 1", "RATE = 2")}
    assert (patched.required_calls, patched.about) == (PROGRAM.required_calls, PROGRAM.about)
    assert PROGRAM.files["train.py"] == TRAIN


def test_the_diff_of_two_programs_makes_one_of_the_other() -> None:
    other = Program({"train.py": TRAIN + "# no newline at the end", "lib/model.py": "DEPTH = 3\n"}, ("report",))
    assert PROGRAM.patched(PROGRAM.diff(other)).files == other.files
    assert PROGRAM.diff(PROGRAM) == ""


def test_only_line_feeds_end_the_lines_of_a_diff() -> None:
    text = "a = 1  # form\x0cfeed\n\x0c\nb = 2  # \x0b \x1c \x85 \u2028 \u2029\nnote = 3 \r 4\nlast = 5\x0c"
    program = Program({"notes.txt": text})
    other = Program({"notes.txt": text.replace("2", "7").replace("4", "8").replace("5", "9")})
    assert program.patched(program.diff(other)).files == other.files
    one, two = (program.diff(Program({"notes.txt": text.replace("feed", word)})) for word in ("seed", "need"))
    assert patch_hash(one) != patch_hash(two)


@pytest.mark.parametrize("times", [300, 20_000])
def test_a_long_chain_of_calls_passes_or_is_refused(times: int) -> None:
    program = Program({"train.py": "x = ''\nprint(1)\n"}, ("print", "x.strip"))
    other = Program({"train.py": "x = ''\nx.strip()\nprint(x" + ".replace('a', 'b')" * times + ")\n"})
    if times > 10_000:
        with pytest.raises(InvalidPatch, match="does not compile"):
            program.patched(program.diff(other))
    else:
        assert program.patched(program.diff(other)).files == other.files


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ("a.b.go()", True),
        ("make().go()", True),
        ("make()[0].go()", True),
        ("make().a.b.go()", False),
        ("go[0]()", False),
    ],
)
def test_a_required_call_is_found_however_it_is_reached(call: str, counts: bool) -> None:
    required = "a.b.go" if ".a.b." in call or call.startswith("a.") else "go"
    program = Program({"train.py": "pass\n"}, (required,))
    patch = program.diff(Program({"train.py": f"{call}\n"}))
    if counts:
        program.patched(patch)
    else:
        with pytest.raises(InvalidPatch, match=f"{required} must still be called"):
            program.patched(patch)


@pytest.mark.parametrize(
    "patch",
    [
        diff("RATE = 1", "RATE = 2").replace("@@ -1,6 +1,6 @@", "@@ -1,60 +1,3 @@"),
        diff("RATE = 1", "RATE = 2").rstrip("\n"),
        "--- a/train.py\n+++ b/train.py\n@@ -2,2 +2,2 @@\n \n-RATE = 1\n+RATE = 2\n",
    ],
)
def test_what_models_get_wrong_in_a_diff_is_forgiven(patch: str) -> None:
    assert "RATE = 2" in PROGRAM.patched(patch).files["train.py"]


NEW = "--- /dev/null\n+++ b/{}\n@@ -0,0 +1 @@\n+print(1)\n"


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("make the rate 2", "no unified diff"),
        (diff("RATE = 1", "RATE = 2").replace("import os", "import sys"), "does not apply"),
        (NEW.format("prepare.py"), "touches prepare.py; only train.py, lib/model.py may be changed"),
        (NEW.format("../../evil.py"), "touches ../../evil.py"),
        (NEW.format("/etc/evil"), "evil"),
        (NEW.format(".git/hooks/post-checkout"), "post-checkout"),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n",
            "touches l",
        ),
        ("diff --git a/train.py b/x.py\nsimilarity index 100%\nrename from train.py\nrename to x.py\n@@ \n", "touches"),
        ("--- a/lib/model.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-DEPTH = 2\n", "removes lib/model.py"),
        (diff("RATE = 1", "RATE = = 2"), "train.py does not compile: invalid syntax, line 3"),
        (diff("RATE = 1", "RATE = 2\0"), "train.py does not compile"),
        (diff("    report(RATE)", "    pass"), "report must still be called or defined"),
        ("--- a/train.py\n+++ b/train.py\n@@ -3,1 +3,1 @@\n-RATE = 1\n+RATE = 1\n", "changes nothing"),
        ("@@ -1 +1 @@\n" + "+x\n" * 200_000, "more than"),
    ],
)
def test_a_patch_that_must_not_run_is_refused_with_the_reason(patch: str, words: str) -> None:
    with pytest.raises(InvalidPatch) as refused:
        PROGRAM.patched(patch)
    assert words in str(refused.value)


def test_nothing_of_a_patch_is_run_by_the_checks(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    PROGRAM.patched(diff("RATE = 1", f"RATE = open({str(mark)!r}, 'w')"))
    assert not mark.exists()


def test_the_persons_git_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[apply]\n\twhitespace = error-all\n\tnonsense\n= broken")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=False, env={"PATH": "/usr/bin:/bin"})
    assert "RATE = 2" in PROGRAM.patched(diff("RATE = 1", "RATE = 2   ")).files["train.py"]


def test_a_hash_tells_changes_apart_but_not_their_spacing_or_place() -> None:
    one = diff("RATE = 1", "RATE = 2")
    assert patch_hash(one) == patch_hash(one.replace("+RATE = 2", "+RATE  =  2").replace("-1,6 +1,6", "-7,6 +9,6"))
    assert patch_hash(one) != patch_hash(diff("RATE = 1", "RATE = 3"))
    assert patch_hash(one) != patch_hash(one.replace("+RATE = 2", "+RATE = '\ud83d'"))
