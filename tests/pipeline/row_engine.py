"""A row pipeline on virtual time: the real engine, ledger and files, with faked pools and a model that echoes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.pipeline.progress import PipelineProgress
from tenire.pipeline.rows.answering import OneByOne
from tenire.pipeline.rows.output import RowOutput
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.run import RowRun
from tenire.pipeline.rows.source import RowSource
from tenire.testing import SimLoop

from .sim_engine import Engine, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import pytest

    from tenire.pipeline.rows.records import Row


@dataclass
class Echo:
    """Answers with the row's text in capitals. ``calls``: ids in the order of their answers."""

    version: int = 1
    policy: str = ""
    key: str = "prompt"
    fields: tuple[str, ...] = ("text",)
    seconds: float = 1.0
    broken: set[Any] = field(default_factory=set)
    fatal: dict[Any, Exception] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    permit: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    flying: int = 0
    most_flying: int = 0

    def request(self, row: Row) -> str:
        if "text" not in row.fields:
            raise RowError("the row has no field 'text'", stage="template")
        return hashlib.sha256(f"{self.version} {row.fields['text']}".encode()).hexdigest()

    async def answer(self, row: Row) -> Mapping[str, Any]:
        async with self.permit():
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self.flying -= 1
        if row.id in self.fatal:
            raise self.fatal[row.id]
        self.calls.append(row.id)
        if row.id in self.broken:
            raise RowError("refused", stage="call", attempts=2)
        return {"output": str(row.fields["text"]).upper(), "usage": {"output_tokens": self.version}}


class RowEngine(Engine):
    """The engine of one test."""

    def __init__(self, loop: SimLoop, path: Path, **options: Any) -> None:
        super().__init__(loop, path, SimStore(), **options)
        self.source = RowSource(["*.jsonl"], path / "in")
        self.output = output(path)

    def rows(
        self, name: str, recipe: Echo, *, retries_only: bool = False, slots: Callable[[], int] | None = None
    ) -> RowRun:
        self.progress[name] = PipelineProgress(name)
        return RowRun(
            name,
            manager=self.manager,
            session=self.session,
            source=self.source,
            recipe=recipe,
            answering=partial(OneByOne, recipe=recipe, clock=self.loop.clock, slots=slots),
            output=self.output,
            progress=self.progress[name],
            clock=self.loop.clock,
            retries_only=retries_only,
        )


def output(path: Path) -> RowOutput:
    return RowOutput(path / "out.jsonl", pipeline="p", keys=("id", "output", "usage"))


def write(path: Path, *rows: dict[str, Any] | str, name: str = "rows") -> None:
    (path / "in").mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (path / "in" / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def told(path: Path) -> list[tuple[Any, str]]:
    """Return what the output says, as ids and texts."""
    records = [json.loads(line) for line in (path / "out.jsonl").read_text("utf-8").splitlines()]
    return [(record["id"], record["output"]) for record in records]


def play(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Echo,
    *,
    seed: int = 0,
    retries_only: bool = False,
    slots: Callable[[], int] | None = None,
    during: Callable[[RowEngine, asyncio.Task[None]], Any] | None = None,
    **options: Any,
) -> PipelineProgress:
    """Run the pipeline ``p`` once and return what it counted."""

    async def main() -> None:
        async with engine, engine.session:
            await engine.manager.submit(engine.session.recover, on="thread")
            running = asyncio.create_task(engine.rows("p", recipe, retries_only=retries_only, slots=slots).run())
            if during is not None:
                await during(engine, running)
            await running
            engine.manager.orchestrator.take_in_ended()
            engine.check_nothing_is_held()

    with sim_pools(monkeypatch), SimLoop(seed, max_virtual_seconds=10_000) as loop:
        engine = RowEngine(loop, path, **options)
        loop.run_until_complete(main())
    return engine.progress["p"]
