"""Pipelines that go on after their run: real files, the system's own events, a real store."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app import document_runs
from tenire.app.ask import ask
from tenire.app.config import ingest_config, load_config
from tenire.app.inspect import status, verify
from tenire.app.run_plan import RunPlan
from tenire.app.runs import arun_config
from tenire.app.search import search
from tenire.errors import ConfigError
from tenire.pipeline.watching.following import Following
from tenire.storage.home import Home

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.core.settling import Settled

_LONG_S = 120.0


class Rounds:
    """Which rounds have ended, for tests that wait for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting = asyncio.Event()
        self.ended = 0
        rounds = self

        class Told(Following):
            async def _wait_for_changes(self) -> Settled:
                rounds.waiting.set()
                return await super()._wait_for_changes()

            async def _go_through(self, settled: Settled) -> None:
                await super()._go_through(settled)
                rounds.ended += 1

        monkeypatch.setattr(document_runs, "Following", Told)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds after the first run, or after a round."""
        async with asyncio.timeout(_LONG_S):
            while True:
                await self.waiting.wait()
                if await asyncio.to_thread(condition):
                    return
                self.waiting.clear()


def found(home: Path, words: str) -> list[str]:
    return [hit.source for hit in search(home, words, k=5, mode="text", exact=False, embedder=None).hits]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_store_stays_in_step_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: bool) -> None:
    home, docs = tmp_path / "home", tmp_path / "docs"
    zebras = write(docs / "zebras.txt", ZEBRAS)
    if deaf:
        monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)

    config = ingest_config([str(docs)], home=home, embedder="static")

    def change() -> None:
        write(docs / "new/deep/volcanoes.md", VOLCANOES)
        write(docs / "ledgers.txt", LEDGERS)
        zebras.unlink()

    async def main() -> None:
        rounds = Rounds(monkeypatch)
        running = asyncio.get_running_loop().create_task(arun_config(config, watch=True))
        await rounds.until(lambda: found(home, "zebras") == [str(zebras)])
        shown = await asyncio.to_thread(status, home)
        assert shown["pipelines"]["ingest"]["state"] == "watching"
        await asyncio.to_thread(change)
        await rounds.until(
            lambda: not found(home, "zebras") and bool(found(home, "ledger")) and bool(found(home, "volcanoes"))
        )
        counts = (await asyncio.to_thread(status, home))["pipelines"]["ingest"]
        assert counts["seen"] == counts["done"] + counts["unchanged"] + counts["quarantined"]
        assert (counts["done"], counts["removed"]) == (3, 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert verify(home).ok
    assert status(home)["documents"] == 2


def test_what_comes_after_a_pipeline_that_goes_on_waits_for_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "one/zebras.txt", ZEBRAS)
    write(tmp_path / "two/ledgers.txt", LEDGERS)
    text = '[tenire]\nhome = "home"\n[pipelines.one]\nembedder = "static"\nsource = "one"\n'
    file = write(tmp_path / "tenire.toml", f'{text}[pipelines.two]\nsource = "two"\nafter = ["one"]\n')

    config, place = load_config(file), Home(tmp_path / "home")

    async def main() -> None:
        rounds = Rounds(monkeypatch)
        live: dict[str, Any] = {}
        running = asyncio.get_running_loop().create_task(arun_config(config, watch=True, on_start=live.update))
        await rounds.until(lambda: [each.done for each in live.values()] == [1, 1])
        # Cancelled one by one, the engine ends by itself.
        for name in live:
            await asyncio.to_thread(ask, place, "cancel", name, timeout=60.0)
        async with asyncio.timeout(_LONG_S):
            report = await running
        assert {each.state for each in report.pipelines.values()} == {"cancelled"}

    asyncio.run(main())


def test_only_documents_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "rows.jsonl", '{"id": 1, "text": "a"}\n')
    monkeypatch.setenv("A_KEY", "k")
    text = '[quotas.q]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "A_KEY"\n[pipelines.p]\nrecipe = "chat"\n'
    text += 'source = "rows.jsonl"\nquota = "q"\nmodel = "m"\nprompt = "{text}"\noutput = "out.jsonl"\n'
    config = load_config(write(tmp_path / "tenire.toml", text))
    with pytest.raises(ConfigError, match="whose source is files can be watched, and none of p is"):
        asyncio.run(arun_config(config, watch=True))
    assert not (tmp_path / ".tenire").exists()


def test_what_runs_once_beside_what_is_watched_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "rows.jsonl", '{"id": 1, "text": "a"}\n')
    rows = '[pipelines.rows]\nembedder = "static"\nsource = { rows = "rows.jsonl" }\n'
    config = load_config(write(tmp_path / "tenire.toml", rows))
    with pytest.raises(ConfigError, match="none of rows is one"):
        RunPlan.of(config, [], {}, frozenset(), watch=True)
    write(tmp_path / "docs/zebras.txt", ZEBRAS)
    config = load_config(write(tmp_path / "tenire.toml", f'{rows}[pipelines.docs]\nsource = "docs"\n'))
    assert RunPlan.of(config, [], {}, frozenset()).names
    assert not caplog.messages
    RunPlan.of(config, [], {}, frozenset(), watch=True)
    assert caplog.messages == ["not watched, so it runs once: rows (only files can be watched)"]
