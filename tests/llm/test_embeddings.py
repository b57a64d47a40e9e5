"""Vectors of texts: few requests, none paid twice, and one bad text is alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BadRequestError, BrokenReplyError, CallTimeoutError, ConfigError, ServerError
from tenire.llm.client import ChatClient
from tenire.llm.embeddings import MOST_TEXTS
from tenire.llm.money import Price

from .models import Model, busy, down, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tenire.llm.records import EmbeddingReply
    from tenire.testing import SimLoop

PRICE = Price(1.0, 0.0)


def test_texts_become_vectors_in_their_order(sim_loop: SimLoop) -> None:
    model = Model()
    vectors = simulate(sim_loop, lambda client: client.embed(["a", "bbb", "a", "cc"]), model)
    assert [list(vector) for vector in vectors] == [[1.0, 1.0], [3.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert [sorted(texts) for texts in model.texts] == [["a", "bbb", "cc"]]  # each once


def test_texts_of_many_callers_go_together(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(client.embed([f"text {number}"]))
        assert client.statistics().calls == len(model.texts) <= 2

    simulate(sim_loop, scenario, model)


def test_a_request_holds_as_much_as_it_may(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        await client.embed([f"text {number}" for number in range(1000)])

    simulate(sim_loop, scenario, model)
    assert [len(texts) for texts in model.texts] == [MOST_TEXTS] * 3 + [1000 - 3 * MOST_TEXTS]


def test_and_no_more_tokens_than_the_quota_lets_pass_at_once(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        await client.embed([f"{number} " + "word " * 100 for number in range(20)])

    simulate(sim_loop, scenario, model, tpm=8_000)
    assert all(len(texts) <= 9 for texts in model.texts)
    assert sum(map(len, model.texts)) == 20


class Picky(Model):
    """Takes no more than eight texts at once, and none that says "bad"."""

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        if len(texts) > 8 or "bad" in texts:
            self.texts.append(list(texts))
            raise BadRequestError("too many, or bad", status=400)
        return await super().embed(model, texts, dimensions=dimensions)


def test_what_is_too_large_is_cut_in_two(sim_loop: SimLoop) -> None:
    model = Picky()
    vectors = simulate(sim_loop, lambda client: client.embed([f"text {number}" for number in range(64)]), model)
    assert len(vectors) == 64
    assert len(model.texts) == 15


def test_one_bad_text_is_its_caller_s_error_and_the_others_are_kept(sim_loop: SimLoop) -> None:
    model = Picky()

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            good = group.create_task(client.embed(["a", "bb"]))
            mixed = group.create_task(fails(client))
        assert len(good.result()) == 2
        assert "text 1 of those 3" in "".join(mixed.result().__notes__)
        before = len(model.texts)
        assert len(await client.embed(["c", "ddd"])) == 2
        assert len(model.texts) == before

    async def fails(client: ChatClient) -> BadRequestError:
        with pytest.raises(BadRequestError) as caught:
            await client.embed(["c", "bad", "ddd"])
        return caught.value

    simulate(sim_loop, scenario, model)


def test_a_failure_is_tried_again_whole(sim_loop: SimLoop) -> None:
    model = Model(*down(1), *busy(1))
    assert len(simulate(sim_loop, lambda client: client.embed(["a", "b"]), model)) == 2
    assert model.texts == [["a", "b"]] * 3


def test_an_outage_is_everybody_s_error(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ServerError):
            await client.embed(["a", "b"])

    simulate(sim_loop, scenario, Model(*down(2)), retry=2)


def test_fewer_dimensions_are_other_vectors(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        assert len((await client.embed(["a"]))[0]) == 2
        assert len((await client.embed(["a"], dimensions=1))[0]) == 1

    simulate(sim_loop, scenario, model)
    assert len(model.texts) == 2


def test_without_the_cache_each_call_is_paid(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        for _ in range(2):
            await client.embed(["a"], cache=False)
        assert client.statistics().cost_usd == pytest.approx(2e-5)
        assert client.statistics().cached_calls == 0

    simulate(sim_loop, scenario, model, price=PRICE)
    assert len(model.texts) == 2


def test_vectors_that_are_none_are_refused(sim_loop: SimLoop) -> None:
    class Short(Model):
        async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
            return await super().embed(model, texts[1:], dimensions=dimensions)

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(BrokenReplyError, match="one vector of gpt-4o-mini for each of 2 texts"):
            await client.embed(["a", "b"])

    simulate(sim_loop, scenario, Short(), retry=1)


def test_what_is_no_text_is_refused_by_its_place(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        texts: list[Any] = ["a", 7]
        with pytest.raises(ConfigError, match=r"got 'int' \(text 1\)"):
            await client.embed(texts)
        with pytest.raises(ConfigError, match="a list of texts"):
            await client.embed("one text")
        nothing: Any = None
        with pytest.raises(ConfigError, match="a list of texts, got a single 'NoneType'"):
            await client.embed(nothing)
        with pytest.raises(ConfigError, match="deadline"):
            await client.embed(["a"], deadline=-1.0)
        assert await client.embed([]) == []

    simulate(sim_loop, scenario, Model())


def test_another_run_pays_nothing(tmp_path: Path) -> None:
    async def run(model: Model) -> list[list[float]]:
        async with ChatClient("e", transport=model, home=tmp_path, price=PRICE) as client:
            vectors = [list(vector) for vector in await client.embed(["a", "bbb"])]
            assert (await client.books.spending())["default"].cost_usd == 2e-5
            return vectors

    first, second = Model(seconds=0), Model(seconds=0)
    assert asyncio.run(run(first)) == asyncio.run(run(second)) == [[1.0, 1.0], [3.0, 1.0]]
    assert (len(first.texts), len(second.texts)) == (1, 0)


def test_equal_texts_at_the_same_time_are_asked_for_once(sim_loop: SimLoop) -> None:
    model = Model(seconds=5.0)

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(client.embed(["a", "bbb"]))
            await asyncio.sleep(1.0)
            second = group.create_task(client.embed(["bbb", "cc", "a"], priority="high"))
        assert [list(vector) for vector in second.result()] == [[3.0, 1.0], [2.0, 1.0], [1.0, 1.0]]
        assert list(first.result()[1]) == [3.0, 1.0]
        assert client.statistics().cost_usd == pytest.approx(3e-5)
        assert client.statistics().cached_calls == 2
        assert not client._session.embeddings._flights

    simulate(sim_loop, scenario, model, price=PRICE)
    assert model.texts == [["a", "bbb"], ["cc"]]


def test_without_the_cache_equal_texts_are_asked_for_by_each(sim_loop: SimLoop) -> None:
    model = Model(seconds=5.0)

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.embed(["a"]))
            await asyncio.sleep(1.0)
            group.create_task(client.embed(["a"], cache=False))

    simulate(sim_loop, scenario, model)
    assert model.texts == [["a"], ["a"]]


def test_when_the_first_caller_leaves_the_next_one_asks(sim_loop: SimLoop) -> None:
    model = Model(seconds=5.0)

    async def scenario(client: ChatClient) -> None:
        first = asyncio.create_task(client.embed(["a"]))
        await asyncio.sleep(1.0)
        second = asyncio.create_task(client.embed(["a"]))
        third = asyncio.create_task(client.embed(["a"]))
        await asyncio.sleep(1.0)
        first.cancel()
        assert [list(vector) for vector in await second] == [list(vector) for vector in await third] == [[1.0, 1.0]]
        with pytest.raises(asyncio.CancelledError):
            await first

    simulate(sim_loop, scenario, model)
    assert model.texts == [["a"], ["a"]]


def test_each_caller_s_deadline_is_its_own(sim_loop: SimLoop) -> None:
    model = Model(seconds=5.0)

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            long = group.create_task(client.embed(["a"], deadline=60.0))
            await asyncio.sleep(1.0)
            with pytest.raises(CallTimeoutError, match=r"another caller had asked for was not there within 2 s"):
                await client.embed(["a"], deadline=2.0)
        assert len(long.result()) == 1
        async with asyncio.TaskGroup() as group:
            short = group.create_task(late(client))
            await asyncio.sleep(1.0)
            long = group.create_task(client.embed(["b"], deadline=60.0))
        assert short.result()
        assert len(long.result()) == 1

    async def late(client: ChatClient) -> bool:
        with pytest.raises(CallTimeoutError):
            await client.embed(["b"], deadline=2.0)
        return True

    simulate(sim_loop, scenario, model)


def test_an_error_is_that_of_all_who_wait(sim_loop: SimLoop) -> None:
    model = Model(*down(2))

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(fails(client))
                await asyncio.sleep(0.2)

    async def fails(client: ChatClient) -> None:
        with pytest.raises(ServerError):
            await client.embed(["a"])

    simulate(sim_loop, scenario, model, retry=2)
    assert len(model.texts) == 3, "two tries, and whether there is an outage"


@pytest.mark.parametrize("number", [2, 40])
def test_programs_with_one_home_ask_for_each_text_once(tmp_path: Path, number: int) -> None:
    model = Model(seconds=0.05)
    texts = [f"text {one}" for one in range(number)]

    async def program(texts: list[str]) -> tuple[list[list[float]], int]:
        async with ChatClient("e", transport=model, home=tmp_path, price=PRICE) as client:
            vectors = [list(vector) for vector in await client.embed(texts)]
            return vectors, client.statistics().cached_calls

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(program(texts))
            other = group.create_task(program(texts[::-1]))
        assert one.result()[0] == other.result()[0][::-1]
        assert one.result()[1] + other.result()[1] == number
        async with ChatClient("e", transport=model, home=tmp_path, price=PRICE) as client:
            assert client._session.store._log is not None
            return (await client.books.spending())["default"].cost_usd

    assert asyncio.run(main()) == pytest.approx(number * 1e-5)
    assert sorted(text for asked in model.texts for text in asked) == sorted(texts)


def test_a_text_whose_program_failed_is_free_for_the_next(tmp_path: Path) -> None:
    async def program(model: Model) -> None:
        async with ChatClient("e", transport=model, home=tmp_path, retry=1) as client:
            for _ in range(2):
                with pytest.raises(ServerError):
                    await client.embed(["a"])
            assert client._session.store._log is not None
            assert not client._session.store._log._claimed
            assert len(await client.embed(["a"])) == 1

    model = Model(*down(2), seconds=0)
    asyncio.run(program(model))
    assert len(model.texts) == 3
