"""Searches while files change under them: each file is found once, as it was or as it is."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.place import choose_place
from tenire.app.search import Store
from tenire.clock import SYSTEM_CLOCK
from tenire.pipeline.home_session import HomeSession
from tenire.protocols import About, Document, Passage, SourceFile
from tenire.storage.batches import BatchTable
from tenire.storage.home import Home
from tenire.vectors.embedding import load_embedder
from tenire.vectors.store import LanceStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODES = ("hybrid", "vector", "text")
FILES = 3


def document(file: int, edition: int) -> Document:
    """One edition of a file."""
    text = f"zebras of herd{file} were counted for the edition number {edition}"
    passage = Passage(0, 0, len(text), text)
    source = SourceFile(f"/files/{file}", edition, edition)
    return Document(f"d{file}-{edition}", source, f"{edition}", "", len(text), (passage,), About(kind=f"kind{file}"))


class Writer:
    """Commits editions of files to a home."""

    def __init__(self, home: Path) -> None:
        self._home = Home(home)
        self._place = choose_place(self._home, store="lancedb", embedder="static")
        self._embed = load_embedder("static").embed

    @contextmanager
    def open(self) -> Iterator[Writer]:
        with HomeSession(self._home, self._place.open_store, clock=SYSTEM_CLOCK) as session:
            self._place.record(session.ledger)
            self._session, self._run = session, session.start_run("p", "r")
            yield self

    def write(self, *documents: Document) -> None:
        texts = [passage.text for each in documents for passage in each.passages]
        self._session.commit(self._run, documents, self._embed(texts))


def look(store: Store, mode: str, where: str | None) -> list[tuple[str, str]]:
    """Return what is found, as sources and documents."""
    hits = store.search("zebras herd counted", k=10, mode=mode, where=where).hits
    return sorted((hit.source, hit.document) for hit in hits)


@pytest.mark.parametrize("where", [None, "kind = kind1 or kind = kind0"])
def test_a_file_is_found_once_at_every_step_of_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    files = range(FILES if where is None else 2)
    seen: list[tuple[str, str, list[tuple[str, str]]]] = []

    def looking(step: str, owner: type, name: str) -> None:
        method = getattr(owner, name)

        def wrapper(self: Any, *args: Any, **options: Any) -> Any:
            seen.extend((f"before {step}", mode, look(store, mode, where)) for mode in MODES)
            result = method(self, *args, **options)
            seen.extend((f"after {step}", mode, look(store, mode, where)) for mode in MODES)
            return result

        monkeypatch.setattr(owner, name, wrapper)

    with Writer(tmp_path / "home").open() as writer:
        writer.write(*(document(file, 0) for file in range(FILES)))
        with Store(tmp_path / "home") as store:
            looking("intent", BatchTable, "open")
            looking("commit", LanceStore, "commit")
            looking("settle", BatchTable, "settle")
            writer.write(document(1, 1))
    assert len(seen) == 6 * len(MODES)
    for step, mode, found in seen:
        edition = 1 if step in ("after commit", "before settle", "after settle") else 0
        expected = [(f"/files/{file}", f"d{file}-{edition if file == 1 else 0}") for file in files]
        assert found == expected, (step, mode)


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_search_beside_ingest import FILES, Writer, document

with Writer(Path(sys.argv[1])).open() as writer:
    for edition in range(1, 100_000):
        writer.write(*(document(file, edition) for file in range(edition % 2, FILES)))
        print(edition, flush=True)
        if edition % 20 == 0:
            writer._session.open_store().optimise(idle=True)
"""


@pytest.mark.slow
def test_another_process_changes_files_while_they_are_searched(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with Writer(tmp_path / "home").open() as writer:
        writer.write(*(document(file, 0) for file in range(FILES)))
    words = [sys.executable, "-c", _WRITER, str(tmp_path / "home"), str(request.path.parent)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        with process.stdout as lines, Store(tmp_path / "home") as store:
            for line in lines:
                for mode in MODES:
                    for where in (None, "kind = kind0 or kind = kind1 or kind = kind2"):
                        found = look(store, mode, where)
                        assert [source for source, _ in found] == [f"/files/{n}" for n in range(FILES)], (
                            mode,
                            where,
                            line,
                            found,
                        )
                if int(line) >= 60:
                    break
    finally:
        process.kill()
        process.wait()
