"""Whoever asks the same model of one engine shares one server and its memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.config import load_config
from tenire.app.model_calls import ModelCalls, local_use
from tenire.concurrency import ConcurrencyManager
from tenire.llm import local
from tenire.llm.ways import find_way
from tenire.observe.machine import read_machine

from ..servers import CHAT, answer, serving
from .test_transport import Worker, asking

if TYPE_CHECKING:
    from tenire.llm.records import Transport

MEMORY = 600


@pytest.fixture(autouse=True)
def _weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each name of a model be that of a file that takes ``MEMORY`` bytes."""

    def size_up(model: str) -> tuple[Path, int]:
        return Path(f"{model.removeprefix('local:')}.gguf"), MEMORY

    monkeypatch.setattr(local, "size_up", size_up)


async def _way(model: str, engine: Any) -> Transport:
    return await find_way(model, None, None).make(engine)


async def _taken_in() -> None:
    """Have the engine take in what was given back."""
    await asyncio.sleep(0.01)


def test_two_who_ask_the_same_model_have_one_server_and_its_memory_once_until_the_last_one_closes() -> None:
    async def main() -> None:
        async with serving(answer(CHAT)) as server, ConcurrencyManager(cpu=1, memory=1000, adaptive=False) as engine:
            worker: Any = Worker(engine, server)
            first, second = await _way("local", worker), await _way("local", worker)
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(way.complete(asking("hello"))) for way in (first, second)]
            assert [call.result().text for call in calls] == ["hello", "hello"]
            assert (worker.asked, engine.data_manager.free) == (1, 1000 - MEMORY)
            await first.close()
            assert (await second.complete(asking("hello"))).text == "hello"
            assert (worker.asked, engine.data_manager.free) == (1, 1000 - MEMORY)
            await second.close()
            await _taken_in()
            assert engine.data_manager.free == 1000
            third = await _way("local", worker)
            assert (await third.complete(asking("hello"))).text == "hello"
            assert worker.asked == 2
            await third.close()

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("other", ["another model", "another engine"])
def test_another_model_and_another_engine_share_nothing(other: str) -> None:
    async def main() -> None:
        engines = [ConcurrencyManager(cpu=1, memory=1000, adaptive=False) for _ in range(2)]
        async with engines[0] as one, engines[1] as two:
            first = await _way("local:a", one)
            second = await _way("local:b", one) if other == "another model" else await _way("local:a", two)
            assert first is not second
            await first.close()
            await second.close()

    asyncio.run(main())


def test_room_is_made_for_a_model_once_however_many_pipelines_ask_it(tmp_path: Path) -> None:
    (tmp_path / "tenire.toml").write_text('[pipelines.p]\nsource = ["docs"]\n')
    config, machine = load_config(tmp_path / "tenire.toml"), read_machine()

    def memory(*models: str) -> int:
        return ModelCalls(
            config, {str(number): local_use(model) for number, model in enumerate(models)}, machine
        ).memory

    assert memory("local:a", "local:a") == memory("local:a") == machine.default_memory + MEMORY
    assert memory("local:a", "local:b") == machine.default_memory + 2 * MEMORY
