"""The report's files: whole, self-contained, and safe against what trials say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from core.report import write_report
from core.report.importance import importance
from core.report.results import results_tsv
from factories import facts, failed, finished, trial

EVIL = "<script>alert('x')</script> | `a` \x1b[31m\n# not a heading"


def test_all_files_are_written_and_the_page_needs_no_network(tmp_path: Path) -> None:
    written = write_report(finished(tmp_path), tmp_path)
    assert sorted(path.name for path in written) == [
        "model_card.md",
        "progress.png",
        "report.html",
        "report.md",
        "results.tsv",
    ]
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    loads = re.findall(r"""(?:src|href)=["'](?!#)([^"']+)""", page)
    assert [target for target in loads if not target.startswith("data:")] == []
    for words in ("Progress", "PED-ANOVA", "Trial 11", "trial 3 was lost", "0.430", "RuntimeError: out of luck"):
        assert words in page
    assert page.count("<svg") == 3
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_what_trials_say_is_shown_and_never_run(tmp_path: Path) -> None:
    write_report(facts(tmp_path, trial(0, 80), trial(1, 90, "keep"), failed(2, EVIL), incumbent=1, name=EVIL), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    markdown = (tmp_path / "report.md").read_text()
    assert "<script>" not in markdown
    assert "\n# not a heading" not in markdown


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_studies_of_any_size_have_a_report(tmp_path: Path, count: int) -> None:
    trials = [trial(n, 80 + n, "keep" if n % 7 == 1 else "discard") for n in range(count)]
    assert len(write_report(facts(tmp_path, *trials, incumbent=1 if count > 1 else 0), tmp_path)) == 4 + (count > 1)


def test_results_are_autoresearchs_columns_one_line_a_trial(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in results_tsv(finished(tmp_path)).splitlines()]
    assert lines[0] == ["commit", "accuracy", "memory_gb", "status", "description", "trial", "seconds"]
    assert len(lines) == 14
    assert {len(line) for line in lines} == {7}
    assert lines[1][3] == "keep"
    assert [line[3] for line in lines if line[5] in ("3", "11", "12")] == ["discard", "keep", "crash"]
    assert len({line[0] for line in lines[1:]}) > 1
    assert all(len(line[0]) == 7 for line in lines[1:])


def test_the_report_shows_where_the_start_of_a_trial_went(tmp_path: Path) -> None:
    trials = [
        replace(
            trial(n, 80 + n), metrics={"startup/process_s": 0.5, "startup/setup_s": 7.0 + n, "peak_memory_gb": 1.26}
        )
        for n in (1, 2, 3)
    ]
    study = facts(tmp_path, trial(0, 80), *trials)
    write_report(study, tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "Start-up of a trial" in text
        assert "libraries, model, trainer" in text
        assert "9.0 s" in text
        assert "first step</td>" not in text
    assert [line.split("\t")[2] for line in results_tsv(study).splitlines()] == ["memory_gb", "", "1.3", "1.3", "1.3"]
    write_report(facts(tmp_path, trial(0, 80)), tmp_path)
    assert "Start-up of a trial" not in (tmp_path / "report.md").read_text()


def test_importance_is_left_out_with_a_reason_when_there_is_too_little(tmp_path: Path) -> None:
    assert "needs at least 6" in importance(facts(tmp_path, trial(0, 80), trial(1, 90))).why_not
    shares = importance(finished(tmp_path)).shares
    assert set(shares) == {"learning_rate", "steps"}
    assert sum(shares.values()) == pytest.approx(1.0)


DIFF = """--- a/train.py
+++ b/train.py
@@ -1,2 +1,3 @@
-rate = 1
+rate = 2  # <script>alert('x')</script>
+# ``` ends no block
 print(rate)
"""


def test_changes_to_the_program_are_shown_and_never_run(tmp_path: Path) -> None:
    patched = trial(1, 90, "keep")
    patched = replace(patched, proposal=replace(patched.proposal, patch=DIFF, rationale="a faster rate"))
    other = trial(2, 70)
    other = replace(other, proposal=replace(patched.proposal, patch=DIFF.replace("rate = 2", "rate = 3")))
    found = facts(tmp_path, trial(0, 80), patched, other, incumbent=1)
    write_report(found, tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert page.count('<details class="patch"') == 2
    assert page.count('<details class="patch" open>') == 1, "what led is open"
    assert "program +2 −1 in train.py" in page
    assert '<span class="del">-rate = 1</span>' in page
    assert "<script>alert" not in page
    assert "Trial 1, which led:\n\n```diff\n--- a/train.py" in text
    assert "rate = 3" not in text, "Markdown shows what led only"
    assert text.count("```") == 4
    rows = [line.split("\t") for line in results_tsv(found).splitlines()[1:]]
    assert len({row[0] for row in rows}) == 3, "two patches are not one commit"
    assert "program +2 −1 in train.py" in rows[1][4]


def test_a_report_without_changes_to_the_program_does_not_speak_of_them(tmp_path: Path) -> None:
    write_report(finished(tmp_path), tmp_path)
    assert "Changes to the program" not in (tmp_path / "report.html").read_text() + (tmp_path / "report.md").read_text()
