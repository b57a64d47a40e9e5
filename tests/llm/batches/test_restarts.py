"""Batches outlive programs: whatever ends one, the next hands over nothing twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.control import Control
from tenire.errors import StoreError
from tenire.llm.batches import desk
from tenire.llm.client import ChatClient
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.provider_batches import OpenBatch, ProviderBatchTable

from .fake_provider import FakeTransport, ServerOfBatches
from .programs import PRICE, PROMPTS, batch, spent, talk

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.concurrency.periodic import Periodic


def stopped(server: ServerOfBatches, home: Path, *, at: int) -> bool:
    """Ask in batches, and be cancelled at so many questions; return whether it came to that."""

    async def job(client: ChatClient) -> bool:
        async def ask() -> None:
            async for _ in client.batch(PROMPTS, most_lines=6):
                pass

        asking = asyncio.create_task(ask())

        def look(number: int) -> None:
            if number == at:
                asking.cancel()

        server.on_question = look
        await asyncio.wait([asking])
        server.on_question = lambda number: None
        return asking.cancelled()

    return bool(talk(server, home, job))


@pytest.mark.parametrize("at", range(1, 34))
def test_wherever_a_program_is_stopped_nothing_is_handed_over_or_paid_twice(tmp_path: Path, at: int) -> None:
    server = ServerOfBatches()
    server.expires = [3.0, 3.0, None]  # both batches leave something undone
    assert stopped(server, tmp_path, at=at) or at > 20
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None and reply.text for reply in replies)
    calls, _, left = spent(tmp_path)
    assert (calls, left) == (10, 0)
    assert server.provider.statistics(0.0).answered == 10
    assert not list((tmp_path / "batches").iterdir())


def test_what_goes_on_at_the_provider_is_waited_for(tmp_path: Path) -> None:
    server = ServerOfBatches()
    assert stopped(server, tmp_path, at=7)
    assert server.times("POST /batches/") == 0  # not cancelled
    asked = server.times("POST")
    replies = batch(server, tmp_path, PROMPTS)
    assert server.times("POST") == asked
    assert all(reply.text for reply in replies)
    assert spent(tmp_path)[0] == 10


def test_who_asks_at_once_for_what_a_batch_will_bring_is_told_that_it_is_paid_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ServerOfBatches()
    assert stopped(server, tmp_path, at=7)

    async def ask(client: ChatClient) -> list[str]:
        return [(await client.complete(prompt)).text for prompt in ("another", *PROMPTS[:2])]

    assert all(talk(server, tmp_path, ask))
    said = [record for record in caplog.records if "is in a batch which is not back yet" in record.message]
    assert len(said) == 1
    assert len(server.realtime) == 3
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS))
    assert all(talk(server, tmp_path, ask))
    assert len(server.realtime) == 3, "what is kept is paid no more"


@pytest.mark.parametrize("unlisted", [0, 1])
def test_a_batch_that_was_made_as_the_program_ended_is_found_by_its_mark_even_if_it_is_listed_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlisted: int
) -> None:
    server = ServerOfBatches()

    def fail(*_: Any) -> None:
        raise StoreError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(ProviderBatchTable, "sent", fail)
        with pytest.raises(StoreError):
            batch(server, tmp_path, PROMPTS)
    assert spent(tmp_path)[2] == 1
    server.unlisted = unlisted
    batch(server, tmp_path, PROMPTS)
    assert server.times("POST /batches") == 1
    assert spent(tmp_path)[0] == 10


@pytest.mark.parametrize("state", ["made", "uploaded", "creating"])
def test_what_was_not_handed_over_is_forgotten(tmp_path: Path, state: str) -> None:
    server = ServerOfBatches()
    left = OpenBatch("left", "this machine, port 1", "default", "gpt-4o-mini")
    with Ledger.open(Home(tmp_path)) as ledger:
        table = ledger.provider_batches
        table.open("nobody", left)
        table.claim("left", [b"somebody else's"])
        if state != "made":
            table.uploaded("left", "file-9")
        if state == "creating":
            table.creating("left")
        table.release("left")
    batch(server, tmp_path, PROMPTS)
    assert server.sent_lines == 10
    assert spent(tmp_path)[2] == 0


def test_what_another_program_has_handed_over_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_LOOK_AT_OTHERS_S", 0.01)
    server = ServerOfBatches(step=0.2)
    looking: list[Periodic] = []

    def every(control: Control, period: float, call: Any, **more: Any) -> Periodic:
        made = adaptive(control, period, call, **more)
        if period == 0.01:
            looking.append(made)
        return made

    adaptive = Control.every
    monkeypatch.setattr(Control, "every", every)

    async def ask(client: ChatClient) -> list[str]:
        return [reply.text async for reply in client.batch(PROMPTS)]

    async def main() -> None:
        programs = [
            ChatClient("gpt-4o-mini", transport=FakeTransport(server), home=tmp_path, price=PRICE, max_output_tokens=20)
            for _ in range(2)
        ]
        async with programs[0] as one, programs[1] as other, asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(client)) for client in (one, other)]
        assert sorted(tasks[0].result()) == sorted(tasks[1].result())

    asyncio.run(main())
    assert server.sent_lines == 10
    assert spent(tmp_path)[0] == 10
    assert looking, "a job of the engine's control, as all that adapts to load"
    assert not any(job.active for job in looking)


def test_lines_that_are_lost_with_their_file_are_told(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.expires = [3.0, 3.0, None]
    assert stopped(server, tmp_path, at=5)
    for path in (tmp_path / "batches").iterdir():
        path.unlink()
    replies = batch(server, tmp_path, PROMPTS)
    lost = [reply.error for reply in replies if reply.error is not None]
    assert 0 < len(lost) < 10
    assert "ask again" in str(lost[0].hint)  # type: ignore[attr-defined]
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS))
    assert spent(tmp_path)[0] == 10


def test_batches_that_are_cancelled_keep_what_they_have(tmp_path: Path) -> None:
    server = ServerOfBatches(step=0.0)

    async def job(client: ChatClient) -> None:
        looked = asyncio.Event()

        def look(_: int) -> None:
            if len({question for question in server.asked if question.startswith("GET /batches/")}) == 2:
                looked.set()  # both are with the provider, and known to be

        server.on_question = look
        asking = asyncio.create_task(anext(client.batch(PROMPTS, most_lines=6)))  # type: ignore[arg-type]
        await looked.wait()
        server.now += 2.5
        assert await client.cancel_batches("another") == 0
        assert await client.cancel_batches() == 2
        asking.cancel()
        await asyncio.wait([asking])

    talk(server, tmp_path, job)
    cancelled = [question for question in server.asked if question.endswith("/cancel")]
    assert len(set(cancelled)) == 2
    assert spent(tmp_path)[2] == 2
    before, server.step = server.sent_lines, 1.0
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.text for reply in replies)
    again = server.sent_lines - before
    assert 0 < again < 10
    assert [question for question in server.asked if question.endswith("/cancel")] == cancelled
    assert spent(tmp_path)[::2] == (10, 0)


def test_money_for_batches_that_nobody_looks_after_is_not_spent_on_others(tmp_path: Path) -> None:
    server = ServerOfBatches()
    assert stopped(server, tmp_path, at=7)
    with Ledger.join(Home(tmp_path)) as ledger:
        found = ledger.spending.hold("1/0.00/me/here", 1, least=1, keep=0, limit=10**12)
    assert found.elsewhere > 1e8
    batch(server, tmp_path, PROMPTS)
    with Ledger.join(Home(tmp_path)) as ledger:
        assert ledger.spending.hold("1/0.00/me/here", 1, least=1, keep=0, limit=10**12).elsewhere == 0
