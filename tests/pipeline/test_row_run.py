"""One run of a row pipeline, on virtual time (see ``row_engine``)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.tasks import Resources
from tenire.errors import ConfigError, PipelineError
from tenire.pipeline.chunks import BATCH_ITEMS
from tenire.pipeline.rows import outbox
from tenire.pipeline.rows import run as row_run
from tenire.pipeline.rows.lines import line
from tenire.pipeline.rows.output import RowOutput
from tenire.pipeline.rows.under_way import READY
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

from .row_engine import Echo, RowEngine, play, told, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PipelineProgress]:
    return lambda *arguments, **options: play(tmp_path, monkeypatch, *arguments, **options)


def rows(count: int, text: str = "text") -> list[dict[str, Any]]:
    return [{"id": number, "text": f"{text} {number}"} for number in range(count)]


def counts(progress: PipelineProgress) -> dict[str, int]:
    names = ("seen", "done", "unchanged", "quarantined", "removed")
    found = {name: getattr(progress, name) for name in names}
    assert found["seen"] == found["done"] + found["unchanged"] + found["quarantined"]
    assert progress.state == "done"
    return {name: count for name, count in found.items() if count}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - on virtual time it costs nothing
        await asyncio.sleep(0.01)


def entries(path: Path) -> list[Any]:
    with Ledger.read(Home(path / "home")) as ledger:
        return ledger.quarantine.entries()


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_answered_once_and_stands_in_the_order_of_the_source(run: Any, tmp_path: Path, seed: int) -> None:
    write(tmp_path, *rows(700))
    recipe = Echo()
    assert counts(run(recipe, seed=seed)) == {"seen": 700, "done": 700}
    assert sorted(recipe.calls) == list(range(700))
    assert told(tmp_path) == [(number, f"TEXT {number}") for number in range(700)]


def test_an_unchanged_run_asks_nothing_and_leaves_the_file_alone(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(3))
    run(Echo())
    before = (tmp_path / "out.jsonl").stat()
    again = Echo()
    assert counts(run(again)) == {"seen": 3, "unchanged": 3}
    assert not again.calls
    after = (tmp_path / "out.jsonl").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_only_what_changed_is_asked_again(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(4))
    run(Echo())
    write(tmp_path, *rows(2), {"id": 2, "text": "other"}, {"id": 9, "text": "new"})
    again = Echo()
    assert counts(run(again)) == {"seen": 4, "done": 2, "unchanged": 2, "removed": 1}
    assert sorted(again.calls) == [2, 9]
    assert told(tmp_path) == [(0, "TEXT 0"), (1, "TEXT 1"), (2, "OTHER"), (9, "NEW")]


def test_rows_in_another_order_are_not_asked_but_ordered(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(3))
    run(Echo())
    write(tmp_path, *reversed(rows(3)))
    assert counts(run(Echo())) == {"seen": 3, "unchanged": 3}
    assert [number for number, _ in told(tmp_path)] == [2, 1, 0]


def test_rows_without_an_id_get_the_hash_of_their_content(run: Any, tmp_path: Path) -> None:
    write(tmp_path, {"text": "a"}, {"text": "b"}, {"text": "a"}, {"text": "a"})
    assert counts(run(Echo())) == {"seen": 4, "done": 4}
    found = told(tmp_path)
    assert [text for _, text in found] == ["A", "B", "A", "A"]
    first = found[0][0]
    assert len(first) == 32
    assert [number for number, _ in found] == [first, found[1][0], f"{first}-2", f"{first}-3"]
    assert counts(run(Echo())) == {"seen": 4, "unchanged": 4}


def test_what_is_no_row_goes_to_quarantine_by_its_line_and_stays_there(run: Any, tmp_path: Path) -> None:
    write(tmp_path, {"id": 1, "text": "a"}, "{no json", '["list"]', {"id": 2, "other": 1})
    for _ in range(2):
        progress = run(Echo())
        assert (progress.seen, progress.quarantined) == (4, 3)
    found = {entry.source.rpartition("/")[2]: entry for entry in entries(tmp_path)}
    assert set(found) == {"rows.jsonl#line 2", "rows.jsonl#line 3", "rows.jsonl#2"}
    assert found["rows.jsonl#line 2"].error.startswith("line 2: not JSON")
    assert found["rows.jsonl#2"].stage == "template"
    assert all(entry.attempts == 0 for entry in found.values())  # none of them was sent
    write(tmp_path, {"id": 1, "text": "a"}, {"id": 2, "text": "b"})
    assert counts(run(Echo())) == {"seen": 2, "done": 1, "unchanged": 1, "removed": 2}
    assert not entries(tmp_path)


def test_an_id_that_stands_twice_is_answered_once_and_told(run: Any, tmp_path: Path) -> None:
    write(tmp_path, {"id": "x", "text": "a"}, {"id": "x", "text": "b"})
    write(tmp_path, {"id": "x", "text": "c"}, name="zz")
    for _ in range(2):
        progress = run(Echo())
        assert (progress.seen, progress.quarantined) == (3, 2)
    assert told(tmp_path) == [("x", "A")]
    assert [entry.source.rpartition("/")[2] for entry in entries(tmp_path)] == [
        "rows.jsonl#x (line 2)", "zz.jsonl#x (line 1)",
    ]  # fmt: skip
    assert '"x"' in entries(tmp_path)[0].error


def test_a_row_that_cannot_be_answered_is_not_tried_again_unless_asked(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(3))
    assert counts(run(Echo(broken={1}))) == {"seen": 3, "done": 2, "quarantined": 1}
    assert told(tmp_path) == [(0, "TEXT 0"), (2, "TEXT 2")]
    again = Echo()
    assert counts(run(again)) == {"seen": 3, "unchanged": 2, "quarantined": 1}
    assert not again.calls
    [entry] = entries(tmp_path)
    assert (entry.attempts, entry.stage, entry.error) == (2, "call", "refused")
    with Ledger.open(Home(tmp_path / "home")) as ledger:
        assert [chosen.id for chosen in ledger.quarantine.retry([entry.id])] == [entry.id]
    write(tmp_path, *rows(2), {"id": 7, "text": "new"})
    assert counts(run(again, retries_only=True)) == {"seen": 1, "done": 1}
    assert again.calls == [1]
    assert told(tmp_path) == [(0, "TEXT 0"), (1, "TEXT 1"), (2, "TEXT 2")]  # 2 has left the source, which is for a run
    assert not entries(tmp_path)
    assert counts(run(again)) == {"seen": 3, "done": 1, "unchanged": 2, "removed": 1}
    assert told(tmp_path) == [(0, "TEXT 0"), (1, "TEXT 1"), (7, "NEW")]


def test_after_a_retry_the_output_has_the_order_of_the_source(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(1_300))
    run(Echo(broken={1, 600}))
    with Ledger.open(Home(tmp_path / "home")) as ledger:
        ledger.quarantine.retry()
    write(tmp_path, {"id": "first", "text": "not asked yet"}, *reversed(rows(1_250)))
    assert counts(run(Echo(), retries_only=True)) == {"seen": 2, "done": 2}
    found = [number for number, _ in told(tmp_path)]
    assert found[:1_250] == list(reversed(range(1_250)))
    assert sorted(found[1_250:]) == list(range(1_250, 1_300))


def test_another_policy_tries_what_is_in_quarantine(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2))
    run(Echo(broken={1}))
    again = Echo(policy="shorten")
    assert counts(run(again)) == {"seen": 2, "done": 1, "unchanged": 1}
    assert again.calls == [1]


def test_an_answer_that_failed_after_all_leaves_the_output(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2))
    run(Echo())
    assert counts(run(Echo(version=2, broken={0}))) == {"seen": 2, "done": 1, "quarantined": 1}
    assert told(tmp_path) == [(1, "TEXT 1")]


def test_a_field_that_no_row_has_is_refused_before_anything_is_asked(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2))
    recipe = Echo(fields=("txt",))
    with pytest.raises(ConfigError, match=r"prompt uses \{txt\}, but the rows of \*\.jsonl have: id, text"):
        run(recipe)
    assert not recipe.calls
    assert not (tmp_path / "out.jsonl").exists()


def test_what_is_wrong_with_all_rows_ends_the_run_and_keeps_what_was_answered(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST", 5)  # so that some have not been committed yet
    write(tmp_path, *rows(300))
    recipe = Echo(fatal={280: PipelineError("wrong key", pipeline="p")})
    with pytest.raises(PipelineError, match="wrong key"):
        run(recipe)
    kept = told(tmp_path)
    assert {number for number, _ in kept} == set(recipe.calls) != set()
    again = Echo()
    assert counts(run(again)) == {"seen": 300, "done": 300 - len(kept), "unchanged": len(kept)}
    assert not {number for number, _ in kept} & set(again.calls)


def test_what_is_wrong_with_all_rows_is_seen_before_slower_rows_have_ended(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2_000))
    recipe = Echo(fatal={60: PipelineError("wrong key", pipeline="p")}, seconds=5.0)
    quick = recipe.answer

    async def answer(row: Any) -> Any:
        if row.id != 60:
            await asyncio.sleep(3_000)
        return await quick(row)

    recipe.answer = answer  # type: ignore[method-assign]

    async def watch(engine: RowEngine, running: asyncio.Task[None]) -> None:
        async with asyncio.timeout(60):
            await asyncio.wait([running])

    with pytest.raises(PipelineError, match="wrong key"):
        run(recipe, during=watch)


def test_a_run_that_broke_off_shows_the_new_answers_and_removes_nothing(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(3))
    run(Echo())
    write(tmp_path, {"id": 0, "text": "other"}, {"id": 1, "text": "bad"})

    recipe = Echo(fatal={1: PipelineError("no", pipeline="p")})

    async def answer_last(*arguments: Any) -> Any:
        if arguments[0].id == 1:
            await asyncio.sleep(60)
        return await Echo.answer(recipe, *arguments)

    recipe.answer = answer_last  # type: ignore[method-assign]
    with pytest.raises(PipelineError):
        run(recipe)
    assert sorted(told(tmp_path)) == [(0, "OTHER"), (1, "TEXT 1"), (2, "TEXT 2")]


def test_no_id_stands_twice_at_any_moment(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(200))
    run(Echo())

    async def watch(engine: RowEngine, running: asyncio.Task[None]) -> None:
        while not running.done():
            await asyncio.sleep(0.01)
            numbers = [number for number, _ in told(tmp_path)]
            assert len(numbers) == len(set(numbers)) == 200

    run(Echo(version=2), during=watch)
    assert len(told(tmp_path)) == 200


@pytest.mark.parametrize("harm", ["half a line", "gone", "edited"])
def test_a_file_that_is_not_as_it_was_left_is_made_anew_for_nothing(run: Any, tmp_path: Path, harm: str) -> None:
    write(tmp_path, *rows(5))
    run(Echo())
    path = tmp_path / "out.jsonl"
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-7] if harm == "half a line" else whole.replace(b"TEXT", b"NEXT", 1))
    recipe = Echo()
    assert counts(run(recipe)) == {"seen": 5, "unchanged": 5}
    assert not recipe.calls
    assert path.read_bytes() == whole


def test_half_a_line_is_gone_before_anything_is_added(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(3))
    run(Echo())
    path = tmp_path / "out.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    write(tmp_path, *rows(700))

    async def watch(engine: RowEngine, running: asyncio.Task[None]) -> None:
        await until(lambda: engine.progress["p"].done > 0)
        assert not running.done()
        assert {0, 1, 2} < {number for number, _ in told(tmp_path)}

    run(Echo(), during=watch)


def test_rows_that_left_are_gone_after_a_run_that_could_not_write_so(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(output: RowOutput, lines: Iterable[bytes]) -> None:
        raise PipelineError("no space", pipeline="p")

    write(tmp_path, *rows(3))
    run(Echo())
    write(tmp_path, *rows(2))
    with monkeypatch.context() as patched:
        patched.setattr(RowOutput, "replace", full)
        with pytest.raises(PipelineError, match="no space"):
            run(Echo())
    write(tmp_path, *rows(2), {"id": 9, "text": "new"})
    with pytest.raises(PipelineError, match="another end"):
        run(Echo(fatal={9: PipelineError("another end", pipeline="p")}))
    assert sorted(told(tmp_path)) == [(0, "TEXT 0"), (1, "TEXT 1")]


@pytest.mark.parametrize("still_full", [False, True])
def test_half_a_line_that_a_full_disk_took_is_gone_before_anything_is_added(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, still_full: bool
) -> None:
    def full(output: RowOutput, lines: Iterable[bytes]) -> bool:
        with output.path.open("ab") as file:
            file.write(b"".join(lines)[:-7])
        raise PipelineError("no space", pipeline="p")

    write(tmp_path, *rows(3))
    run(Echo())
    write(tmp_path, *rows(5))
    with monkeypatch.context() as patched:
        patched.setattr(RowOutput, "append", full)
        if still_full:
            patched.setattr(RowOutput, "replace", full)
        with pytest.raises(PipelineError, match="no space"):
            run(Echo())
    write(tmp_path, *rows(6))
    with pytest.raises(PipelineError, match="another end"):
        run(Echo(fatal={5: PipelineError("another end", pipeline="p")}))
    assert sorted(told(tmp_path)) == [(number, f"TEXT {number}") for number in range(5)]


def test_a_row_in_quarantine_whose_file_has_another_name_is_tried_again(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2))
    run(Echo(broken={1}))
    (tmp_path / "in" / "rows.jsonl").rename(tmp_path / "in" / "other.jsonl")
    recipe = Echo(broken={1})
    assert counts(run(recipe)) == {"seen": 2, "unchanged": 1, "quarantined": 1}
    assert recipe.calls == [1]
    [entry] = entries(tmp_path)
    assert entry.source.endswith("other.jsonl#1")


def test_answers_that_are_not_committed_yet_count_as_in_flight(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_run, "IN_FLIGHT", 1)
    write(tmp_path, *rows(500))
    recipe = Echo()
    go_on = asyncio.Event()
    commit = row_run.RowRun._commit

    async def slow(self: Any, outcomes: Any) -> None:
        await go_on.wait()
        await commit(self, outcomes)

    monkeypatch.setattr(row_run.RowRun, "_commit", slow)

    async def watch(engine: RowEngine, running: asyncio.Task[None]) -> None:
        await until(lambda: len(recipe.calls) == BATCH_ITEMS)
        await asyncio.sleep(100)
        assert len(recipe.calls) == BATCH_ITEMS
        go_on.set()

    assert counts(run(recipe, during=watch)) == {"seen": 500, "done": 500}


def test_a_run_that_is_cancelled_keeps_what_it_has(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2_000))

    async def stop(engine: RowEngine, running: asyncio.Task[None]) -> None:
        await until(lambda: engine.progress["p"].done >= 100)
        running.cancel()

    with pytest.raises(asyncio.CancelledError):
        run(Echo(), during=stop)
    recipe = Echo()
    progress = run(recipe)
    assert progress.unchanged >= 100
    assert progress.unchanged + progress.done == 2_000
    assert told(tmp_path) == [(number, f"TEXT {number}") for number in range(2_000)]


def test_rows_in_flight_are_bounded_by_places_and_by_bytes(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_run, "IN_FLIGHT", 2)
    write(tmp_path, *rows(1_000))
    recipe = Echo()
    run(recipe)
    assert recipe.most_flying == 2 * BATCH_ITEMS

    monkeypatch.undo()
    write(tmp_path, *({"id": number, "text": "x" * 100_000} for number in range(50)))
    recipe = Echo()
    run(recipe, memory=2 << 20)
    assert recipe.most_flying <= (2 << 20) // 400_000


def test_rows_under_way_are_those_that_can_be_answered_and_a_few_more(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2_000))
    recipe = Echo()
    slots = 10
    assert counts(run(recipe, slots=lambda: slots)) == {"seen": 2_000, "done": 2_000}
    # The last batch began when one row less than that was under way.
    assert slots + READY <= recipe.most_flying < slots + READY + BATCH_ITEMS


def test_rows_that_nobody_answers_yet_are_few_when_a_run_is_interrupted(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2_000))
    recipe = Echo()

    async def stop(engine: RowEngine, running: asyncio.Task[None]) -> None:
        engine.manager.orchestrator.register_resource("calls", 10)
        recipe.permit = lambda: engine.manager.orchestrator.permit(Resources(other={"calls": 1}), pipeline="p")
        await until(lambda: len(recipe.calls) >= 30)
        assert len(asyncio.all_tasks()) < 10 + READY + 3 * BATCH_ITEMS
        running.cancel()

    with pytest.raises(asyncio.CancelledError):
        run(recipe, during=stop, slots=lambda: 10)


def test_more_rows_are_under_way_as_soon_as_more_can_be_answered(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(2_000))
    recipe = Echo()
    run(recipe, slots=lambda: 10 if len(recipe.calls) < 100 else 500)
    assert 500 + READY <= recipe.most_flying < 500 + READY + BATCH_ITEMS


def test_a_retry_expects_the_rows_that_are_tried_again_and_no_others(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *rows(1_200))
    run(Echo(broken=set(range(0, 1_200, 2))))
    with Ledger.open(Home(tmp_path / "home")) as ledger:
        ledger.quarantine.retry()
    write(tmp_path, *rows(1_198))  # one of them has left, which shows at the end
    monkeypatch.setattr(row_run, "IN_FLIGHT", 1)  # the source is listed bit by bit, and could be counted meanwhile
    totals: set[int] = set()

    async def watch(engine: RowEngine, running: asyncio.Task[None]) -> None:
        progress = engine.progress["p"]
        await until(lambda: progress.seen > 0)
        while not running.done():
            totals.add(progress.total)
            await asyncio.sleep(0.1)

    progress = run(Echo(), retries_only=True, during=watch)
    assert totals == {600, 599}
    assert (progress.total, progress.reached) == (599, 599)


def test_a_paused_pipeline_goes_on_when_it_may(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(5_000))

    async def pause(engine: RowEngine, running: asyncio.Task[None]) -> None:
        orchestrator = engine.manager.orchestrator
        await until(lambda: engine.progress["p"].done > 0)
        orchestrator.suspend("p", "paused")
        await asyncio.sleep(60)
        before = engine.progress["p"].done
        await asyncio.sleep(600)
        assert engine.progress["p"].done == before < 5_000
        orchestrator.suspend("p", None)

    assert counts(run(Echo(), during=pause)) == {"seen": 5_000, "done": 5_000}


def test_a_pause_holds_back_calls_that_wait_for_their_quota(run: Any, tmp_path: Path) -> None:
    write(tmp_path, *rows(600))
    recipe = Echo()

    async def pause(engine: RowEngine, running: asyncio.Task[None]) -> None:
        orchestrator = engine.manager.orchestrator
        orchestrator.register_resource("calls", 10)
        recipe.permit = lambda: orchestrator.permit(Resources(other={"calls": 1}), pipeline="p")
        await until(lambda: len(recipe.calls) >= 30)
        orchestrator.suspend("p", "paused", permits=True)
        await asyncio.sleep(2)
        before = len(recipe.calls)
        assert before <= 50
        await asyncio.sleep(600)
        assert len(recipe.calls) == before
        orchestrator.suspend("p", None)

    assert counts(run(recipe, during=pause)) == {"seen": 600, "done": 600}


def test_a_lone_surrogate_in_an_answer_is_written_as_an_escape() -> None:
    assert json.loads(line({"id": 1, "output": "\ud83d"}))["output"] == "\ud83d"
    assert line({"id": 1, "output": "ä"}) == '{"id":1,"output":"ä"}\n'.encode()
