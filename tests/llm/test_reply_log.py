"""The thread that keeps replies and money in a home."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BudgetError, RejectedError, StoreError
from tenire.llm.purse import Purse
from tenire.llm.replies import Answer, Vector
from tenire.llm.reply_log import ReplyLog
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.storage.replies import Began, Wanted
from tenire.storage.spending import Charge, Spent
from tenire.testing import cancel_sweep

from .engines import timer, timing

if TYPE_CHECKING:
    from pathlib import Path

USD = 10**12
MOST = 1 << 20


async def open_log(home: Path, most: int = MOST) -> ReplyLog:
    return await ReplyLog.open(home, most=most, timer=timer())


def charge(cost: int) -> Charge:
    return Charge("news", "small", 10, 0, 2, 0, cost, 0)


def test_a_reply_is_there_for_others_as_soon_as_it_is_finished(tmp_path: Path) -> None:
    async def main() -> None:
        mine = await open_log(tmp_path)
        other = await open_log(tmp_path)
        assert await mine.begin(b"a") is Began.CLAIMED
        assert await other.begin(b"a") is Began.UNDER_WAY
        await mine.finish(b"a", Vector(b"reply"), [charge(5)])
        found = await other.begin(b"a")
        assert isinstance(found, Vector)
        assert found.numbers == b"reply"
        assert (await other.total()).cost == 5
        assert (await other.by_pipeline())["news"].calls == 1
        await mine.aclose()
        await other.aclose()
        await other.aclose()

    asyncio.run(main())


def test_of_two_that_want_the_same_at_once_one_makes_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(log.begin(b"a")) for _ in range(5)]
        assert sorted(task.result().value for task in tasks) == ["claimed"] + ["under way"] * 4  # type: ignore[union-attr]
        await log.finish(b"a", None)
        assert await log.begin(b"a") is Began.CLAIMED
        await log.aclose()

    asyncio.run(main())


def test_closing_gives_up_the_claims(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        await log.aclose()
        with pytest.raises(RejectedError, match="closed"):
            await log.begin(b"b")
        again = await open_log(tmp_path)
        assert await again.begin(b"a") is Began.CLAIMED
        await again.aclose()

    asyncio.run(main())


def test_an_engine_may_hold_the_home_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        await log.finish(b"a", Vector(b"reply"))
        await log.aclose()

    home = Home(tmp_path)
    with HomeLock(home), Ledger.open(home) as ledger:
        asyncio.run(main())
        assert ledger.replies.count() == 1


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StoreError, match="must be a directory"):
        asyncio.run(open_log(file))


def test_a_disk_that_fails_is_the_answer_of_all_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        with monkeypatch.context() as patch:
            patch.setattr(log._server._ledger.replies, "finish", full)
            for _ in range(2):
                with pytest.raises(StoreError, match="no space"):
                    await log.finish(b"a", Vector(b"reply"))
        await log.finish(b"a", Vector(b"reply"))
        assert isinstance(await log.begin(b"a"), Vector)
        await log.aclose()

    def full(*_: object) -> None:
        raise StoreError("no space left")

    asyncio.run(main())


def failing(log: ReplyLog, patch: pytest.MonkeyPatch, *, also: bool) -> None:
    """Have no reply and no charge be written; ``also``: nor that a claim ends."""
    replies = log._server._ledger.replies
    finish = replies.finish

    def full(owner: str, finished: Any) -> None:
        if also or any(one.reply is not None or one.charges for one in finished):
            raise StoreError("no space left")
        finish(owner, finished)

    patch.setattr(replies, "finish", full)


@pytest.mark.parametrize("also", [True, False])
def test_a_reply_that_could_not_be_written_is_written_later_and_its_claim_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also: bool
) -> None:
    recorded: list[int] = []

    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        log.recorded = recorded.append
        for key in (b"a", b"b"):
            assert await log.begin(key) is Began.CLAIMED
        with monkeypatch.context() as patch:
            failing(log, patch, also=also)
            with pytest.raises(StoreError, match="no space"):
                await log.finish(b"a", Vector(b"reply"), [charge(5)])
            for key in (b"a", b"c"):  # what was paid for comes first, and nobody waits for nothing
                with pytest.raises(StoreError, match="no space"):
                    await log.begin(key)
            if not also:
                assert await other.begin(b"a") is Began.CLAIMED
        assert recorded == []
        assert isinstance(await log.begin(b"a"), Vector)
        assert isinstance(await other.begin(b"a"), Vector)
        assert await other.begin(b"b") is Began.UNDER_WAY  # that one is still being made
        assert (await other.total()).cost == 5
        assert recorded == [5]
        await log.aclose()
        await other.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("closing", [False, True])
def test_what_could_not_be_written_is_tried_again_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closing: bool
) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        with monkeypatch.context() as patch:
            failing(log, patch, also=True)
            with pytest.raises(StoreError, match="no space"):
                await log.finish(b"a", Vector(b"reply"))
        assert log._needs_marks()
        if closing:
            await log.aclose()
        else:
            log._renew()  # as its timer does
            await log.total()
        other = await open_log(tmp_path)
        assert isinstance(await other.begin(b"a"), Vector)
        await other.aclose()
        await log.aclose()

    asyncio.run(main())


def test_a_reply_that_can_never_be_written_ends_its_claim_and_harms_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        for key in (b"a", b"b"):
            await log.begin(key)
        bad = Answer("half a character: \ud800", "stop", "small", "1", (), None, None)
        broken, kept = log.finish(b"a", bad, [charge(5)]), log.finish(b"b", Vector(b"reply"))
        await kept
        with pytest.raises(UnicodeEncodeError):
            await broken
        assert await log.begin(b"a") is Began.CLAIMED
        assert isinstance(await log.begin(b"b"), Vector)
        assert (await log.total()).cost == 5
        await log.aclose()

    asyncio.run(main())


def test_a_reply_that_is_written_is_so_also_if_old_ones_cannot_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> int:
        raise StoreError("no space left")

    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        monkeypatch.setattr(log._server._ledger.replies, "trim", full)
        await log.finish(b"a", Vector(b"reply"), [charge(5)])
        await log.begin(b"b")
        assert (await log.total()).cost == 5
        await log.aclose()

    asyncio.run(main())


def test_replies_are_dropped_once_they_take_too_much(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path, 100_000)
        for first in range(0, 600, 50):
            keys = [number.to_bytes(4, "big") for number in range(first, first + 50)]
            await asyncio.wait([log.finish(key, Vector(bytes(1000))) for key in keys])
        await log.aclose()

    asyncio.run(main())
    with Ledger.read(Home(tmp_path)) as ledger:
        assert 50 < ledger.replies.count() < 400


def test_two_programs_never_pass_the_budget_of_their_home(tmp_path: Path) -> None:
    refused = 0
    spent = held = 0

    async def caller(log: ReplyLog, purse: Purse) -> None:
        nonlocal refused, spent, held
        while True:
            try:
                await purse.take("news", USD // 100)
            except BudgetError:
                refused += 1
                return
            held += USD // 100
            assert spent + held <= USD
            await asyncio.sleep(0)
            held -= USD // 100
            spent += USD // 150
            purse.settle("news", USD // 100, cost=USD // 150)
            await log.finish(None, None, [charge(USD // 150)])

    async def main() -> int:
        logs = [await open_log(tmp_path) for _ in range(2)]
        purses = [Purse(1.0, **timing(), log=log) for log in logs]
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for log, purse in zip(logs, purses, strict=True):
                for _ in range(4):
                    group.create_task(caller(log, purse))
        total = (await logs[0].total()).cost
        for log, purse in zip(logs, purses, strict=True):
            await purse.aclose()
            await log.aclose()
        return total

    assert asyncio.run(main()) == spent
    assert refused == 8
    assert USD * 0.97 < spent <= USD


def test_what_was_spent_in_a_home_before_counts(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.finish(None, None, [charge(USD)])
        purse = Purse(1.5, **timing(), log=log)
        await purse.take("news", USD // 2)
        with pytest.raises(BudgetError, match="is spent"):
            await Purse(1.5, **timing(), log=log).take("news", USD)
        await purse.aclose()
        await log.aclose()

    asyncio.run(main())


def test_a_claim_that_comes_too_late_is_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        task = asyncio.create_task(log.begin(b"a"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(10):
            while await log.begin(b"a") is not Began.CLAIMED:  # noqa: ASYNC110 - of the thread
                await asyncio.sleep(0)
        await log.aclose()

    asyncio.run(main())


def test_a_reply_that_is_damaged_is_asked_for_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        await log.finish(b"a", Vector(b"reply"))
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            connection.execute("UPDATE replies SET reply = x'02ff'")
        connection.close()
        assert await log.begin(b"a") is Began.CLAIMED
        await log.aclose()

    asyncio.run(main())
    assert "is damaged" in caplog.text


def test_a_damaged_reply_that_cannot_be_dropped_costs_no_other_its_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StoreError("no space left")

    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        await log.finish(b"a", Vector(b"reply"))
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            connection.execute("UPDATE replies SET reply = x'02ff'")
        connection.close()
        monkeypatch.setattr(log._server._ledger.replies, "drop", full)
        bad, good = await asyncio.to_thread(log._server.serve, [Wanted(b"a"), Wanted(b"b")])
        await log.aclose()
        assert isinstance(bad, StoreError)
        assert good is Began.CLAIMED

    asyncio.run(main())


def test_wherever_its_opening_is_cancelled_nothing_stays_open(tmp_path: Path) -> None:
    opened: list[ReplyLog] = []

    async def scenario() -> None:
        opened.clear()
        opened.append(await open_log(tmp_path))
        await opened[0].begin(b"a")
        await opened[0].aclose()

    async def check() -> None:
        if opened:
            await opened[0].aclose()

    # Files that stay open are found by the guard of leaks.
    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, may_finish=True).runs >= 4


def test_a_claim_that_comes_while_it_closes_is_given_up_with_the_others(tmp_path: Path) -> None:
    problems: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        claiming = log.begin(b"a")
        claiming.send(None)
        with pytest.raises(asyncio.CancelledError):
            claiming.throw(asyncio.CancelledError())
        await log.aclose()  # before the loop learns that the claim was granted
        assert await other.begin(b"a") is Began.CLAIMED
        await other.aclose()

    asyncio.run(main())
    assert problems == []


async def expected(log: ReplyLog) -> int:
    """Return how many calls the home expects to be charged for."""

    def count(ledger: Ledger, _: str) -> int:
        with ledger.spending._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM expected_charges").fetchone()[0])

    return await log.run(count)


def test_what_a_call_costs_stands_for_what_it_was_expected_to(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        first, second, third = [await log.expect(charge(cost)) for cost in (5, 7, 9)]
        assert await expected(log) == 3
        await log.finish(None, None, [charge(4)], [first])
        await log.keep({b"a": Vector(b"reply")}, [charge(6)], [second])
        log.withdraw(third)
        assert (await log.total()).cost == 10
        assert await expected(log) == 0
        await log.aclose()

    asyncio.run(main())


def test_of_a_call_that_is_cancelled_before_it_is_sent_nothing_is_expected(tmp_path: Path) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        expecting = asyncio.create_task(log.expect(charge(5)))
        await asyncio.sleep(0)
        expecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await expecting
        assert (await log.total()).cost == 0
        assert await expected(log) == 0
        await log.aclose()

    asyncio.run(main())


def test_what_is_expected_is_moved_on_while_its_program_runs(tmp_path: Path) -> None:
    async def main() -> float:
        log = await open_log(tmp_path)
        await log.expect(charge(5))
        assert log._needs_marks()
        await log.aclose()
        return (await total(tmp_path)).cost

    async def total(home: Path) -> Spent:
        log = await open_log(home)
        try:
            return await log.total()
        finally:
            await log.aclose()

    assert asyncio.run(main()) == 5  # nobody has said what became of it


def mortal(log: ReplyLog, *, after: bool, times: int = 1) -> None:
    """Have the thread die of the next batches; ``after``: when one is done, and only the word of that is missing."""
    thread = log._thread
    serve, left = thread._serve, iter(range(times))

    def die(asked: Any) -> Any:
        if next(left, None) is None:
            return serve(asked)
        if after:
            serve(asked)
        raise SystemExit("killed")

    thread._serve = die


@pytest.mark.parametrize("after", [True, False])
def test_a_thread_that_dies_is_no_error_for_who_finishes_and_nothing_counts_twice(tmp_path: Path, after: bool) -> None:
    recorded: list[int] = []

    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        log.recorded = recorded.append
        assert await log.begin(b"a") is Began.CLAIMED
        number = await log.expect(charge(4))
        mortal(log, after=after)
        await log.finish(b"a", Vector(b"reply"), [charge(5)], [number])
        assert log._thread.deaths == 1
        assert recorded == [5]
        assert isinstance(await other.begin(b"a"), Vector)
        mortal(log, after=after)
        await log.keep({b"b": Vector(b"one"), b"c": Vector(b"two")}, [charge(7)])
        assert len(await other.find([b"a", b"b", b"c"])) == 3
        assert recorded == [5, 0, 0, 7]
        assert (await log.total()).cost == 12
        assert await expected(log) == 0
        await log.aclose()
        await other.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_if_the_next_thread_dies_too_the_reply_is_an_error_and_written_later(tmp_path: Path) -> None:
    recorded: list[int] = []

    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        log.recorded = recorded.append
        assert await log.begin(b"a") is Began.CLAIMED
        mortal(log, after=False, times=2)
        with pytest.raises(StoreError, match=r"'tenire replies' died of SystemExit\('killed'\)"):
            await log.finish(b"a", Vector(b"reply"), [charge(5)])
        assert recorded == []
        assert isinstance(await log.begin(b"a"), Vector)
        assert recorded == [5]
        assert isinstance(await other.begin(b"a"), Vector)
        assert (await log.total()).cost == 5
        await log.aclose()
        await other.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("after", [True, False])
def test_who_asks_a_thread_that_dies_asks_the_next_one(tmp_path: Path, after: bool) -> None:
    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        await log.finish(None, None, [charge(5)])
        mortal(log, after=after)
        number = await log.expect(charge(7))
        assert await expected(log) == 1
        mortal(log, after=after)
        held = await log.hold(10, least=1, keep=0, limit=100)
        assert (held.held, held.spent, held.elsewhere) == (10, 5, 0)
        mortal(log, after=after)
        assert (await log.total()).cost == 5
        mortal(log, after=after)
        assert (await log.by_pipeline())["news"].cost == 5
        await log.keep({b"a": Vector(b"reply")}, [], [number])
        mortal(log, after=after)
        assert isinstance((await log.find([b"a"]))[b"a"], Vector)
        assert log._thread.deaths == 5
        await log.aclose()
        await other.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("after", [True, False])
def test_of_those_who_want_the_same_of_a_thread_that_dies_one_makes_the_call(tmp_path: Path, after: bool) -> None:
    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        assert await log.begin(b"a") is Began.CLAIMED
        mortal(log, after=after)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(log.begin(key)) for key in (b"a", b"b", b"b", b"b")]
        found = [task.result() for task in asking]
        assert found[0] is Began.UNDER_WAY  # the claim from before stands
        assert (found.count(Began.CLAIMED), found.count(Began.UNDER_WAY)) == (1, 3)
        assert [await other.begin(key) for key in (b"a", b"b")] == [Began.UNDER_WAY, Began.UNDER_WAY]
        await log.finish(b"a", None)
        await log.finish(b"b", Vector(b"reply"))
        assert await other.begin(b"a") is Began.CLAIMED
        assert isinstance(await other.begin(b"b"), Vector)
        await log.aclose()
        await other.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("after", [True, False])
def test_what_a_thread_that_dies_at_the_end_was_to_write_is_written(tmp_path: Path, after: bool) -> None:
    async def main() -> None:
        log = await open_log(tmp_path)
        assert await log.begin(b"a") is Began.CLAIMED
        mortal(log, after=after)
        writing = log.finish(b"a", Vector(b"reply"), [charge(5)])
        await log.aclose()
        assert (writing.exception() is None) == after
        again = await open_log(tmp_path)
        assert isinstance(await again.begin(b"a"), Vector)
        assert (await again.total()).cost == 5
        await again.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_claim_that_a_thread_made_before_it_died_is_given_up(tmp_path: Path, cancelled: bool) -> None:
    async def main() -> None:
        log, other = await open_log(tmp_path), await open_log(tmp_path)
        mortal(log, after=True, times=1 if cancelled else 2)
        beginning = asyncio.create_task(log.begin(b"a"))
        await asyncio.sleep(0)
        if cancelled:
            beginning.cancel()
        await asyncio.wait([beginning])
        with pytest.raises(asyncio.CancelledError if cancelled else StoreError):
            await beginning
        await wait_until_free(log)
        assert await other.begin(b"a") is Began.CLAIMED
        assert await log.begin(b"b") is Began.CLAIMED
        await log.aclose()
        await other.aclose()

    async def wait_until_free(log: ReplyLog) -> None:
        while not log._thread.deaths:  # noqa: ASYNC110 - it tells only those who wait for an answer
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await log.total()  # asked after that the claim ends

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_step_that_ends_the_thread_takes_no_reply_with_it(tmp_path: Path) -> None:
    def end(*_: object) -> None:
        raise SystemExit("killed")

    async def main() -> None:
        log = await open_log(tmp_path)
        await log.begin(b"a")
        step = asyncio.create_task(log.run(end))
        await asyncio.sleep(0)
        writing = log.finish(b"a", Vector(b"reply"), [charge(5)])
        with pytest.raises(StoreError, match="died of"):
            await step
        await writing
        assert isinstance(await log.begin(b"a"), Vector)
        assert (await log.total()).cost == 5
        await log.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))
