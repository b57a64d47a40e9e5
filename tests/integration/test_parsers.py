"""Parsers that crash or hang in real worker processes cost their file alone, and are named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.documents import samples
from tests.pipeline.sim_engine import SimStore, embed

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import ConcurrencyManager
from tenire.pipeline.document_recipe import DocumentRecipe
from tenire.pipeline.document_run import DocumentRun
from tenire.pipeline.files import FileSource
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.progress import PipelineProgress
from tenire.pipeline.verify import verify
from tenire.storage.home import Home

from . import planted_readers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


async def ingest(tmp_path: Path, store: SimStore, *, limit_s: float = 60.0) -> tuple[PipelineProgress, dict[str, Any]]:
    """Run a pipeline over ``tmp_path / "files"``; return what it counted, and the quarantine by source."""
    progress = PipelineProgress("p")
    session = HomeSession(Home(tmp_path / "home"), lambda: store, clock=SYSTEM_CLOCK)
    recipe = DocumentRecipe(
        "planted", planted_readers.prepare_files, embed, "sim/2", unpack=planted_readers.unpack,
        look=planted_readers.look, limit_s=limit_s,
    )  # fmt: skip
    async with ConcurrencyManager(cpu=2) as manager, session:
        manager.orchestrator.register_resource("embedder", 2)
        run = DocumentRun(
            "p", manager=manager, session=session, source=FileSource([str(tmp_path / "files")]), owns_all=True,
            recipe=recipe, progress=progress, clock=SYSTEM_CLOCK,
        )  # fmt: skip
        await run.run()
        assert verify(session.ledger, store).ok
        found = session.ledger.quarantine.entries()
    entries = {each.source.removeprefix(f"{tmp_path}/files/"): each for each in found}
    assert progress.seen == progress.done + progress.unchanged + progress.quarantined
    return progress, entries


@pytest.mark.blocking_allowed("it looks into the ledger on its loop")
def test_a_reader_that_crashes_costs_its_file_alone(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(6):
        (files / f"{number:02}.txt").write_text(f"words {number}")
    for name in ("segfault", "kill", "exit", "raise"):
        (files / f"{name}.csv").write_text(f"{name}\n")
    (files / "good.csv").write_text("a,b\n1,2\n")
    members = {f"{number:02}.txt": f"member {number}" for number in range(8)} | {"bad.csv": "kill\n", "z.txt": "last"}
    (files / "box.zip").write_bytes(samples.archive(members))
    store = SimStore()
    progress, entries = asyncio.run(ingest(tmp_path, store))
    assert (progress.done, progress.quarantined) == (7, 5)
    assert set(entries) == {"segfault.csv", "kill.csv", "exit.csv", "raise.csv", "box.zip!/bad.csv"}
    assert "the csv reader failed: ValueError: a table with legs" in entries.pop("raise.csv").error
    for entry in entries.values():
        assert entry.error.startswith("the csv reader crashed on this file")
    assert len({document for document, _, _ in store.rows}) == 6 + 1 + 9


@pytest.mark.blocking_allowed("it looks into the ledger on its loop")
def test_a_reader_that_hangs_is_ended_after_a_while(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_text("words")
    (files / "hang.csv").write_text("hang\n")
    progress, entries = asyncio.run(ingest(tmp_path, SimStore(), limit_s=4.0))
    assert (progress.done, progress.quarantined) == (1, 1)
    assert entries["hang.csv"].error.startswith("the csv reader did not come to an end with this file")


@pytest.mark.blocking_allowed("it looks into the ledger on its loop")
def test_a_pdf_that_breaks_the_parser_costs_no_other_pdf(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.pdf").write_bytes(samples.pdf("first"))
    (files / "b.pdf").write_bytes(samples.pdf("bad", date="k" + "\xcb" * 9))
    for number in range(4):
        (files / f"c{number}.pdf").write_bytes(samples.pdf(f"words {number}"))
    progress, entries = asyncio.run(ingest(tmp_path, SimStore()))
    assert progress.done >= 5
    assert set(entries) <= {"b.pdf"}
