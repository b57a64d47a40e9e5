from __future__ import annotations

from typing import Any

import pytest

from tenire.pipeline.journal import Journal
from tenire.pipeline.repair import repair
from tenire.pipeline.verify import verify

TEXTS = {"/a": "one two", "/b": "three four", "/copy": "one two", "/empty": ""}


@pytest.fixture
def home(ledger: Any, store: Any, document: Any, vectors: Any) -> Any:
    """A home of two pipelines, and a way to do again whatever its ledger does not know."""

    class TwoPipelines:
        def run(self) -> int:
            journal = Journal(ledger, store)
            done = 0
            for pipeline in ("p", "q"):
                known = ledger.sources.documents_of(pipeline, TEXTS)
                documents = [document(path, text) for path, text in TEXTS.items() if path not in known]
                absent = {item.id for item in journal.absent(documents)}
                embedded = [item for item in documents if item.id in absent]
                linked = [item for item in documents if item.id not in absent]
                run = ledger.runs.start(pipeline)
                done += journal.commit(run, embedded, vectors(*embedded), linked=linked).done
            return done

    two = TwoPipelines()
    two.run()
    return two


def test_a_home_that_is_whole_is_left_alone(ledger: Any, store: Any, home: Any) -> None:
    rows = sorted(store.rows)
    repaired = repair(ledger, store)
    assert (repaired.forgotten, repaired.dropped, sorted(store.rows)) == (0, 0, rows)
    assert home.run() == 0


@pytest.mark.parametrize("damage", ["all lost", "one lost", "doubled", "orphan", "abandoned"])
def test_after_damage_repair_and_a_run_everything_is_as_it_was(
    ledger: Any, store: Any, home: Any, document: Any, damage: str
) -> None:
    whole = sorted(store.rows)
    expected_again = {"all lost": 6, "one lost": 4, "doubled": 4, "orphan": 0, "abandoned": 2}
    row = next(row for row in store.rows if row[0] == document("", "one two").id)
    if damage == "all lost":
        store.rows.clear()
    elif damage == "one lost":
        store.rows.remove(row)
    elif damage == "doubled":
        store.rows.append(row)
    elif damage == "orphan":
        store.rows.append(("dead", 0, 0.0))
    else:
        with ledger._database.writing() as connection:
            connection.execute("DELETE FROM sources WHERE document = ?", (document("", "three four").id,))
    assert not verify(ledger, store).ok
    repair(ledger, store)
    assert verify(ledger, store).ok
    assert home.run() == expected_again[damage]
    assert sorted(store.rows) == whole
    assert verify(ledger, store).documents == 8


@pytest.mark.parametrize("where", ["before commit", "after commit"])
def test_a_repair_that_was_killed_is_finished_by_the_next_start(ledger: Any, store: Any, home: Any, where: str) -> None:
    whole = sorted(store.rows)
    store.rows[0:1] = [("dead", 0, 0.0)]
    store.crash_at = where
    with pytest.raises(store.crash):
        repair(ledger, store)
    Journal(ledger, store).recover()
    assert verify(ledger, store).ok
    home.run()
    assert sorted(store.rows) == whole
