"""Replies that lie in a home: durable before they are seen, and paid for once."""

from __future__ import annotations

import asyncio
import itertools
import platform
import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import BudgetError, ServerError, StoreError
from tenire.llm.books import Books
from tenire.llm.client import ChatClient
from tenire.llm.money import Price
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.spending import Charge

from .models import MODEL, Model, busy, down

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.llm import Estimate

PRICE = Price(1.0, 2.0)


def client(model: Model, home: Path, **options: Any) -> ChatClient:
    return ChatClient(MODEL, transport=model, home=home, price=PRICE, **options)


def test_a_reply_is_durable_before_it_is_seen(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(Model(seconds=0), tmp_path) as one:
            await one.complete("Hello")
            assert await asyncio.to_thread(look) == (1, 20_000_000)

    def look() -> tuple[int, int]:
        with Ledger.read(Home(tmp_path)) as ledger:  # as another program would
            return ledger.replies.count(), ledger.spending.total().cost

    asyncio.run(main())


def test_another_run_pays_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(Model(seconds=0), tmp_path) as one:
            await one.complete("Hello")
        model = Model(seconds=0)
        async with client(model, tmp_path) as another:
            reply = await another.complete("Hello")
            assert (reply.text, reply.cached, reply.cost_usd) == ("re: Hello", True, 0.0)
            assert (await another.complete("Hello")).cached
            assert another.statistics().cached_calls == 2
            spending = await another.books.spending()
            assert spending["default"].cost_usd == 2e-5
            assert spending["default"].input_tokens == 10
        assert not model.requests

    asyncio.run(main())


def test_calls_go_on_if_the_thread_that_keeps_their_replies_dies_and_none_is_paid_twice(tmp_path: Path) -> None:
    model = Model(seconds=0)

    async def main() -> None:
        async with client(model, tmp_path, budget_usd=1.0) as one:
            log = one.books.log
            assert log is not None
            thread, batches = log._thread, itertools.count(1)
            serve = thread._serve

            def die(asked: Any) -> Any:
                number = next(batches)
                if number % 5:
                    return serve(asked)
                if number % 2:
                    serve(asked)  # and only the word of it is missing
                raise SystemExit("killed")

            thread._serve = die
            for number in range(30):
                assert (await one.complete(f"{number}")).text == f"re: {number}"
            assert thread.deaths >= 6
            thread._serve = serve
            spending = (await one.books.spending())["default"]
            assert (spending.calls, spending.guessed_usd) == (30, 0.0)
            assert spending.cost_usd == pytest.approx(30 * 2e-5)

    asyncio.run(main())
    assert len(model.requests) == 30


def test_two_programs_that_ask_the_same_make_one_call(tmp_path: Path) -> None:
    model = Model(seconds=0.2)

    async def main() -> None:
        async with client(model, tmp_path) as one, client(model, tmp_path) as other, asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.complete("Hello")) for each in (one, other)]
        assert sorted(task.result().cached for task in tasks) == [False, True]

    asyncio.run(main())
    assert len(model.requests) == 1


def test_what_another_program_has_renewed_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, later = iter(["first", "second", "third"]), 0.0
    model = Model(seconds=0, answer=lambda _: next(answers))
    usual = SYSTEM_CLOCK.wall
    monkeypatch.setattr(type(SYSTEM_CLOCK), "wall", lambda _: usual() + later)

    async def main() -> None:
        nonlocal later
        options = {"ttl": 60.0, "stale": 600.0}
        async with client(model, tmp_path, **options) as one, client(model, tmp_path, **options) as other:
            for each in (one, other):
                assert (await each.complete("Hello")).text == "first"
            later = 70.0
            for each in (one, other):  # the first reply is given, and a new one fetched
                while (reply := await each.complete("Hello")).text == "first":  # noqa: ASYNC110 - of another thread
                    await asyncio.sleep(0)
                assert reply.text == "second"

    asyncio.run(main())
    assert len(model.requests) == 2


def test_if_the_one_that_makes_the_call_fails_the_other_one_makes_it(tmp_path: Path) -> None:
    async def main() -> None:
        failing, working = Model(*down(), seconds=0.1), Model(seconds=0)
        async with client(failing, tmp_path, retry=1) as one, client(working, tmp_path) as other:
            first = asyncio.create_task(one.complete("Hello"))
            while not failing.requests:  # noqa: ASYNC110 - the ledger's thread stands between
                await asyncio.sleep(0.01)
            second = asyncio.create_task(other.complete("Hello"))
            with pytest.raises(ServerError):
                await first
            assert (await second).text == "re: Hello"

    asyncio.run(main())


def test_a_caller_that_leaves_gives_up_the_claim_and_what_was_sent_is_charged(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(seconds=60)
        async with client(model, tmp_path) as one, client(Model(seconds=0), tmp_path) as other:
            task = asyncio.create_task(one.complete("Hello", max_output_tokens=10))
            while not model.inside:  # noqa: ASYNC110 - the ledger's thread stands between
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
            assert not (await other.complete("Hello", max_output_tokens=10)).cached
            spent = (await other.books.spending())["default"]
            assert spent.calls == 2
            assert spent.guessed_usd > 0

    asyncio.run(main())


def test_what_is_not_kept_is_paid_and_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(Model(seconds=0), tmp_path) as one:
            await one.complete("Hello", cache=False)
            await one.complete("Hello", cache=False, pipeline="other")
            spending = await one.books.spending()
            assert {name: spent.calls for name, spent in spending.items()} == {"default": 1, "other": 1}

    asyncio.run(main())
    with Ledger.read(Home(tmp_path)) as ledger:
        assert ledger.replies.count() == 0


def test_the_budget_counts_what_was_ever_spent_in_the_home(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(2):
            async with client(Model(seconds=0), tmp_path, budget_usd=60e-6, max_output_tokens=5) as one:
                await one.complete("Hello")
        async with client(Model(seconds=0), tmp_path, budget_usd=60e-6, max_output_tokens=5) as one:
            await one.complete("Hello")  # kept
            await one.complete("other")
            with pytest.raises(BudgetError) as caught:
                await one.complete("a third")
            assert caught.value.spent_usd == 40e-6

    asyncio.run(main())


def test_pipelines_have_budgets_of_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        budgets = {"news": 60e-6}
        async with (
            ConcurrencyManager(cpu=1, memory=100) as manager,
            Books(manager, tmp_path, budget_usd=1.0, budgets_usd=budgets) as books,
            ChatClient(
                MODEL, transport=Model(seconds=0), manager=manager, books=books, price=PRICE, max_output_tokens=5
            ) as one,
        ):
            for number in range(2):
                await one.complete(f"{number}", pipeline="news")
            with pytest.raises(BudgetError, match="the budget of pipeline 'news'"):
                await one.complete("3", pipeline="news")
            await one.complete("3", pipeline="mail")

    asyncio.run(main())


def test_a_full_disk_is_an_error_and_no_unseen_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space left")

    async def main() -> None:
        model = Model(seconds=0)
        async with client(model, tmp_path, budget_usd=1.0) as one:
            log = one.books.log
            assert log is not None
            with monkeypatch.context() as patch:
                patch.setattr(log._server._ledger.replies, "finish", full)
                for prompt in ("Hello", "Hello", "another"):
                    with pytest.raises(StoreError, match="no space left"):
                        await one.complete(prompt)
            assert (await one.complete("Hello")).cached
            assert len(model.requests) == 1, "nothing is paid for while it cannot be kept, and nothing twice"
            assert one.books.purse._recorded == 20_000_000
            assert (await log.total()).cost == 20_000_000

    asyncio.run(main())


def test_a_home_that_cannot_be_used_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    model = Model()

    async def main() -> None:
        with pytest.raises(StoreError, match="must be a directory"):
            await client(model, file).__aenter__()

    asyncio.run(main())
    assert model.closed is False
    assert not model.requests


def test_books_that_are_not_open_say_so() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=100) as manager:
            with pytest.raises(Exception, match="async with Books"):
                Books(manager).purse  # noqa: B018 - it raises
            with pytest.raises(Exception, match="reply_bytes must be"):
                Books(manager, reply_bytes=-1)

    asyncio.run(main())


def test_also_programs_with_few_calls_keep_no_more_than_they_may(tmp_path: Path) -> None:
    async def main(part: int) -> None:
        async with client(Model(seconds=0), tmp_path, reply_bytes=20_000) as one:
            prompts = (f"{part} {number} " + random.Random(number).randbytes(500).hex() for number in range(20))
            assert not [reply.error async for reply in one.map(prompts) if reply.error is not None]

    for part in range(3):
        asyncio.run(main(part))
    with Ledger.read(Home(tmp_path)) as ledger:
        assert 5_000 < ledger.replies.size() <= 20_000


def test_many_replies_are_kept_in_few_commits(tmp_path: Path) -> None:
    async def main() -> int:
        async with client(Model(seconds=0.01), tmp_path, max_concurrency=64) as one:
            log = one.books.log
            assert log is not None
            commits = 0
            finish = log._server._ledger.replies.finish

            def counted(*args: Any) -> None:
                nonlocal commits
                commits += 1
                finish(*args)

            log._server._ledger.replies.finish = counted  # type: ignore[method-assign]
            replies = [reply async for reply in one.map(f"p {number}" for number in range(640))]
            assert len(replies) == 640
            return commits

    assert asyncio.run(main()) < 320


def test_what_prompts_will_take_is_told_before_and_what_is_kept_is_left_out(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(seconds=0)
        async with client(model, tmp_path) as one:
            await one.complete("a", max_output_tokens=100)
            prompts = ["a", "b", "b", *(f"number {number}" for number in range(1000))]
            estimate = await one.estimate(prompts, max_output_tokens=100)
            assert (estimate.prompts, estimate.calls, estimate.output_tokens) == (1003, 1001, 100_100)
            assert 5_000 < estimate.input_tokens < 20_000
            assert estimate.cost_usd == pytest.approx(estimate.input_tokens * 1e-6 + 0.2002)
            assert len(model.requests) == 1
        async with client(model, tmp_path, cache=False) as one:
            assert (await one.estimate(["a", "a"], max_output_tokens=100)).calls == 2
        for ttl, calls in ((3600.0, 0), (0.0, 1)):
            async with client(model, tmp_path, ttl=ttl) as one:
                assert (await one.estimate(["a"], max_output_tokens=100)).calls == calls

    asyncio.run(main())


def test_the_budget_that_prompts_take_has_room_for_what_was_spent_in_the_home(tmp_path: Path) -> None:
    async def asked(budget: float | None, *prompts: str) -> Estimate:
        async with client(Model(seconds=0), tmp_path, budget_usd=budget) as one:
            told = await one.estimate(["Hello", "Grace"], max_output_tokens=5)
            for prompt in prompts:
                await one.complete(prompt, max_output_tokens=5)
            return told

    async def main() -> None:
        await asked(None, "Hello")
        told = await asked(None)
        assert told.cost_usd is not None
        assert told.needed_usd is not None
        with pytest.raises(BudgetError):
            await asked(20e-6 + told.cost_usd, "Grace")
        await asked(told.needed_usd, "Grace")

    asyncio.run(main())


def test_what_cannot_be_kept_of_a_failure_is_told_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space left")

    async def main() -> None:
        async with client(Model(*down(2), seconds=0), tmp_path, retry=1) as one:
            log = one.books.log
            assert log is not None
            with monkeypatch.context() as patch:
                patch.setattr(log._server._ledger.replies, "finish", full)
                calls = [asyncio.create_task(one.complete(prompt)) for prompt in ("Hello", "Hello again")]
                await asyncio.wait(calls)
                assert all(isinstance(call.exception(), ServerError) for call in calls)
                await log.find([])  # by now the thread has tried

    asyncio.run(main())
    assert caplog.text.count("could not be kept: no space left") == 1, "a full disk fails for every call"


def test_a_caller_that_leaves_as_the_reply_comes_does_not_lose_it(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(seconds=0)
        async with client(model, tmp_path) as one:
            log = one.books.log
            assert log is not None
            asked: list[Any] = []
            finish = log.finish

            def leave(*args: Any) -> Any:
                asked.append(asyncio.get_running_loop().call_soon(task.cancel))
                return finish(*args)

            log.finish = leave  # type: ignore[method-assign]
            task = asyncio.create_task(one.complete("Hello"))
            await asyncio.wait([task])
            assert task.cancelled()
            log.finish = finish  # type: ignore[method-assign]
            assert (await one.complete("Hello")).cached
        assert len(model.requests) == 1

    asyncio.run(main())


class Looking(Model):
    """Notes what the home expects calls to cost while each of them is made: how many, and picodollars."""

    def __init__(self, home: Path, *failures: Exception) -> None:
        super().__init__(*failures, seconds=0)
        self.home = home
        self.seen: list[tuple[int, int]] = []

    async def _take(self) -> None:
        self.seen.append(await asyncio.to_thread(expected, self.home))
        await super()._take()


def expected(home: Path) -> tuple[int, int]:
    with Ledger.read(Home(home)) as ledger, ledger.spending._database.reading() as connection:
        calls, cost = connection.execute("SELECT count(*), coalesce(sum(cost), 0) FROM expected_charges").fetchone()
        return calls, cost


@pytest.mark.parametrize("budget", [{"budget_usd": 1.0}, {}])
@pytest.mark.parametrize("cache", [True, False])
def test_where_there_is_a_budget_the_home_knows_of_a_call_before_it_is_sent(
    tmp_path: Path, budget: dict[str, Any], cache: bool
) -> None:
    model = Looking(tmp_path, *down(), *busy(retry_after=0.01))

    async def main() -> None:
        async with client(model, tmp_path, cache=cache, **budget) as one:
            await one.complete("Hello", max_output_tokens=100)
            assert await asyncio.to_thread(expected, tmp_path) == (0, 0)
            async for _ in one.stream("Hello you", max_output_tokens=100):
                pass
            await one.embed(["Hello"])
            await one.books.spending()  # what was withdrawn is written by then
            assert await asyncio.to_thread(expected, tmp_path) == (0, 0)
            spent = (await one.books.spending())["default"]
            assert (spent.calls, spent.guessed_usd) == (3, 0)

    asyncio.run(main())
    assert len(model.seen) >= 5
    assert {calls for calls, _ in model.seen} == ({1} if budget else {0})
    if budget:
        assert min(cost for _, cost in model.seen[:3]) > 100 * 2_000_000  # the reply at its longest, and the prompt


def test_what_a_call_that_was_cancelled_may_have_cost_is_charged_once(tmp_path: Path) -> None:
    class Slow(Model):
        async def _take(self) -> None:
            begun.set()
            await super()._take()

    begun = asyncio.Event()

    async def main() -> float:
        async with client(Slow(seconds=3600), tmp_path, budget_usd=1.0) as one:
            asking = asyncio.create_task(one.complete("Hello", max_output_tokens=100))
            await begun.wait()
            asking.cancel()
            await asyncio.wait([asking])
            spent = (await one.books.spending())["default"]
            assert spent.calls == 1
            return spent.guessed_usd

    cost = asyncio.run(main())
    assert cost > 100 * 2e-6
    assert expected(tmp_path) == (0, 0)
    with Ledger.read(Home(tmp_path)) as ledger:
        assert ledger.spending.total().cost == pytest.approx(cost * 1e12)


def test_who_comes_after_a_killed_program_is_told_what_counts_as_spent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Charge("default", MODEL, 10, 0, 100, 0, 999_900_000_000, 999_900_000_000)
    with Ledger.open(Home(tmp_path)) as ledger:
        ledger.spending.expect(f"{2**30}/0.00/killed/{platform.node()}", {1: lost})

    async def main() -> None:
        async with client(Model(seconds=0), tmp_path, budget_usd=1.0) as one:
            with pytest.raises(
                BudgetError, match=r"of budget_usd of \$1\.00, \$0\.9999 is spent, \$0\.9999 of it a guess"
            ):
                await one.complete("Hello", max_output_tokens=100)
            assert (await one.books.spending())["default"].guessed_usd == 0.9999

    asyncio.run(main())
    assert (
        "calls in flight when their program was killed: 1. They may be paid for: $0.9999 for them, a guess, is spent"
        in caplog.text
    )
