"""The schema: journals of the first version are read and brought up to this one, newer ones are refused."""

import sqlite3
from pathlib import Path

import pytest

from core.contracts import Proposal
from core.errors import UsageError
from core.journal import events as ev
from core.journal import schema
from core.journal.store import Journal
from core.study.launch import read_facts, replay
from journal.histories import CREATED, described, folded, write, write_1

_ROWS = "SELECT seq, at, elapsed_s, kind, data FROM events ORDER BY seq"


def rows(path: Path, query: str = _ROWS) -> list[tuple[object, ...]]:
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_a_journal_of_version_1_is_read_without_being_written(tmp_path: Path) -> None:
    path = write_1(tmp_path, trials=5)
    before = path.read_bytes()
    facts = read_facts(tmp_path)
    assert len(facts.study.trials) == 5
    assert facts.study.finished == "all trials were used"
    assert path.read_bytes() == before
    assert rows(path, "SELECT value FROM meta") == [("1",)]


def test_a_controller_brings_version_1_up_to_date_and_only_adds(tmp_path: Path) -> None:
    path = write_1(tmp_path, trials=5)
    before, items = rows(path), rows(path, "SELECT * FROM items")
    told = read_facts(tmp_path)
    with Journal.open(path) as journal:
        assert described(replay(journal, tmp_path)) == described(folded(journal, tmp_path))
        journal.append(ev.Noticed("written by this version"))
    assert rows(path)[:-1] == before, "no event of the old journal was touched"
    assert rows(path, "SELECT * FROM items") == items
    assert rows(path, "SELECT value FROM meta WHERE key = 'schema'") == [(str(schema.VERSION),)]
    after = read_facts(tmp_path)
    assert repr(after.study.trials) == repr(told.study.trials)  # repr: a NaN is itself
    assert after.notices[-1].text == "written by this version"


def test_a_migrated_journal_has_the_columns_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = write_1(tmp_path / "old", trials=2), write(tmp_path / "new", trials=2)
    Journal.open(old).close()
    for table in ("meta", "events", "items", "snapshot", "snapshot_trials", "snapshot_notices"):
        query = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')"
        assert rows(old, query) == rows(new, query) != []


@pytest.mark.parametrize("readonly", [True, False])
def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, readonly: bool) -> None:
    path = write(tmp_path, trials=2)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE meta SET value = '3' WHERE key = 'schema'")
    database.close()
    before = rows(path)
    with pytest.raises(UsageError, match=r"has journal schema 3, this Overnight reads 2: use the version"):
        Journal.open(path, readonly=readonly)
    assert rows(path) == before


def _with_last_event(tmp_path: Path, kind: str, data: str) -> Journal:
    path = tmp_path / "journal.db"
    with Journal.create(path) as journal:
        journal.append(CREATED, ev.ControllerStarted(1, "here", False))
        journal._db.execute("INSERT INTO events VALUES (3, 0.0, 0.0, ?, ?, NULL)", (kind, data))
    return Journal.open(path, readonly=True)


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("TrialDreamt", "{}", r"event 'TrialDreamt' of a newer Overnight \(event 3\)"),
        ("Noticed", '{"text":"t","trial":null,"mood":1}', r"field 'mood' in an event 'Noticed' of a newer"),
        ("TrialProposed", '{"trial":0,"proposal":{"params":{},"mood":1}}', r"field 'proposal.mood' in an event"),
    ],
)
def test_an_event_or_a_field_of_a_newer_overnight_is_refused_by_name(
    tmp_path: Path, kind: str, data: str, said: str
) -> None:
    with _with_last_event(tmp_path, kind, data) as journal, pytest.raises(UsageError, match=said):
        list(journal.entries())
    with pytest.raises(UsageError, match=said):
        read_facts(tmp_path)


def test_a_field_that_an_older_overnight_did_not_write_has_its_default(tmp_path: Path) -> None:
    with _with_last_event(tmp_path, "TrialProposed", '{"trial":4,"proposal":{"params":{"k":2}}}') as journal:
        assert list(journal.entries())[-1].event == ev.TrialProposed(4, Proposal({"k": 2}))
