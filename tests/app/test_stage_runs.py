"""Real runs of pipelines whose stages are functions of the user."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.app.inspect import failed, retry
from tenire.pipeline.rows.kept import KeptOutput

from . import stage_functions as functions
from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

    Run = Callable[..., PipelineProgress]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one pipeline named ``p`` into ``out.jsonl``, and returns what it counted."""

    def start(source: Any, *stages: Any, **options: Any) -> PipelineProgress:
        functions.calls.clear()
        described = {"sink": tmp_path / "out.jsonl", **options}
        report = tenire.run(tenire.Pipeline("p", source, stages=stages, **described), home=tmp_path / "home", cpu=2)
        return report.pipelines["p"]

    return start


def told(path: Path) -> list[Any]:
    return [json.loads(line) for line in (path / "out.jsonl").read_text("utf-8").splitlines()]


def counts(progress: PipelineProgress) -> dict[str, int]:
    assert progress.state == "done", progress.error
    names = ("seen", "done", "unchanged", "quarantined", "removed")
    found = {name: getattr(progress, name) for name in names}
    assert found["seen"] == found["done"] + found["unchanged"] + found["quarantined"]
    return {name: number for name, number in found.items() if number}


def texts(number: int) -> list[dict[str, Any]]:
    return [{"id": each, "text": f"text {each}"} for each in range(number)]


def called(name: str) -> list[Any]:
    return sorted(each for stage, ids in functions.calls if stage == name for each in ids)


def test_items_go_through_all_stages_in_batches_and_keep_their_order(run: Run, tmp_path: Path) -> None:
    progress = run(texts(100), functions.upper, functions.count, functions.exclaim, functions.ask)
    assert counts(progress) == {"seen": 100, "done": 100}
    assert told(tmp_path) == [{"id": n, "text": f"TEXT {n}!?", "length": len(f"text {n}")} for n in range(100)]
    sizes = {name: max(len(ids) for stage, ids in functions.calls if stage == name) for name in ("upper", "count")}
    assert sizes == {"upper": 10, "count": 7}
    assert [(stage.name, stage.done, stage.waiting, stage.running) for stage in progress.stages] == [
        ("upper", 100, 0, 0), ("count", 100, 0, 0), ("exclaim", 100, 0, 0), ("ask", 100, 0, 0), ("store", 100, 0, 0),
    ]  # fmt: skip


def test_a_second_run_does_only_what_is_new_or_changed(run: Run, tmp_path: Path) -> None:
    items = texts(5)
    run(items, functions.upper)
    before = (tmp_path / "out.jsonl").stat()
    assert counts(run(items, functions.upper)) == {"seen": 5, "unchanged": 5}
    after = (tmp_path / "out.jsonl").stat()
    assert not functions.calls
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    items[1]["text"] = "other"
    del items[4]
    assert counts(run([*items, {"id": 9, "text": "new"}], functions.upper)) == {
        "seen": 5, "done": 2, "unchanged": 3, "removed": 1,
    }  # fmt: skip
    assert called("upper") == [1, 9]
    assert [item["text"] for item in told(tmp_path)] == ["TEXT 0", "OTHER", "TEXT 2", "TEXT 3", "NEW"]


def test_a_changed_stage_redoes_only_what_depends_on_it(run: Run, tmp_path: Path) -> None:
    run(texts(5), functions.upper, functions.exclaim, functions.count)
    assert counts(run(texts(5), functions.upper, functions.ask, functions.count)) == {"seen": 5, "done": 5}
    assert {name for name, _ in functions.calls} == {"ask", "count"}
    assert told(tmp_path)[0] == {"id": 0, "text": "TEXT 0?", "length": 7}
    run([{"id": 0, "text": "new"}, *texts(5)[1:]], functions.upper, functions.ask)
    assert called("upper") == called("ask") == [0]
    run(texts(5), functions.upper, functions.ask, functions.count, functions.exclaim)
    assert (called("upper"), called("ask"), called("count")) == ([], [], [0, 1, 2, 3, 4])
    assert told(tmp_path)[1] == {"id": 1, "text": "TEXT 1?!", "length": 7}


def test_another_version_is_another_stage(run: Run) -> None:
    def shout(items: list[Any]) -> list[Any]:
        functions.noted("shout", items)
        return items

    run(texts(2), tenire.stage(version=1)(shout))
    run(texts(2), tenire.stage(version=1)(shout))
    assert called("shout") == []
    run(texts(2), tenire.stage(version="2")(shout))
    assert called("shout") == [0, 1]


def test_what_computes_runs_in_worker_processes(run: Run, tmp_path: Path) -> None:
    assert counts(run(texts(20), functions.elsewhere)) == {"seen": 20, "done": 20}
    assert os.getpid() not in {item["pid"] for item in told(tmp_path)}


def test_an_item_that_cannot_be_done_goes_to_quarantine_alone(run: Run, tmp_path: Path) -> None:
    assert counts(run(texts(64), functions.no_threes, functions.upper)) == {"seen": 64, "done": 63, "quarantined": 1}
    assert [item["id"] for item in told(tmp_path)] == [each for each in range(64) if each != 3]
    (entry,) = failed(tmp_path / "home")
    assert (entry.source, entry.stage, entry.error, entry.attempts) == (
        "p#3", "no_threes", "ValueError: three is not a number that I like", 1,
    )  # fmt: skip
    assert called("upper") == [each for each in range(64) if each != 3]
    assert counts(run(texts(64), functions.no_threes, functions.upper)) == {
        "seen": 64,
        "unchanged": 63,
        "quarantined": 1,
    }
    assert not functions.calls


def test_an_item_that_kills_its_worker_goes_to_quarantine_alone(run: Run, tmp_path: Path) -> None:
    assert counts(run(texts(16), functions.dies_of_seven)) == {"seen": 16, "done": 15, "quarantined": 1}
    (entry,) = failed(tmp_path / "home")
    assert (entry.source, entry.stage) == ("p#7", "dies_of_seven")
    assert "crashed on this item" in entry.error


def test_an_item_can_become_several_or_none(run: Run, tmp_path: Path) -> None:
    assert counts(run(texts(4), functions.odd_ones, functions.words)) == {"seen": 4, "done": 4}
    assert told(tmp_path) == [
        {"id": "1#0", "word": "text"}, {"id": "1#1", "word": "1"},
        {"id": "3#0", "word": "text"}, {"id": "3#1", "word": "3"},
    ]  # fmt: skip
    assert counts(run(texts(4), functions.odd_ones, functions.words)) == {"seen": 4, "unchanged": 4}


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (functions.too_few, "expected one result for each of 4 items, got 3"),
        (functions.endless, "expected one result for each of 4 items, got more"),
        (functions.numbers, "expected a dict, a text, a list of those, or None for the item 0, got int 0"),
        (functions.nothing, "expected a list with one result for each item, got None"),
        (functions.objects, "expected what JSON can hold for the item 0: JSON cannot hold an object of type object"),
    ],
)
def test_a_stage_that_returns_what_no_stage_may_ends_the_run(run: Run, stage: Any, told: str) -> None:
    progress = run(texts(4), stage)
    assert progress.state == "failed"
    assert f"the stage {stage.__name__} returned what no stage may: {told}" in progress.error


def test_a_generator_is_gone_through_once(run: Run, tmp_path: Path) -> None:
    def items() -> Iterator[Any]:
        yield from ("one", "two", {"text": "three"})

    assert counts(run(items(), functions.upper)) == {"seen": 3, "done": 3}
    assert [item["text"] for item in told(tmp_path)] == ["ONE", "TWO", "THREE"]
    assert counts(run(items, functions.upper)) == {"seen": 3, "unchanged": 3}


def test_an_asynchronous_source_is_read_on_the_loop(run: Run, tmp_path: Path) -> None:
    async def items() -> AsyncIterator[Any]:
        for each in range(150):
            await asyncio.sleep(0)
            yield {"id": each, "text": "x"}

    assert counts(run(items(), functions.upper)) == {"seen": 150, "done": 150}
    assert [item["id"] for item in told(tmp_path)] == list(range(150))
    assert counts(run(items, functions.upper)) == {"seen": 150, "unchanged": 150}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_source_that_breaks_off_removes_nothing(run: Run, tmp_path: Path, asynchronous: bool) -> None:
    run(texts(3), functions.upper)

    def breaks() -> Iterator[Any]:
        yield texts(1)[0]
        message = "connection lost"
        raise OSError(message)

    async def abreaks() -> AsyncIterator[Any]:
        for item in breaks():
            yield item

    progress = run(abreaks() if asynchronous else breaks(), functions.upper)
    assert progress.state == "failed"
    assert "the source broke off after 1 items: OSError: connection lost" in progress.error
    assert [item["id"] for item in told(tmp_path)] == [0, 1, 2]


def test_what_is_no_item_goes_to_quarantine(run: Run, tmp_path: Path) -> None:
    found = run(
        [{"id": 1, "text": "a"}, 5, {"id": 2, "it": object()}, {"id": [1]}, {"id": 1, "text": "b"}], functions.ask
    )
    assert counts(found) == {"seen": 5, "done": 1, "quarantined": 4}
    assert [(entry.source, entry.stage, entry.error) for entry in failed(tmp_path / "home")] == [
        ("p#item 2", "read", "item 2: expected a dict or a text, got int"),
        ("p#item 3", "read", "item 3: expected JSON: JSON cannot hold an object of type object"),
        ("p#item 4", "read", "item 4: expected a text or a whole number as id, got [1]"),
        ("p#1 (item 5)", "read", "item 5: expected an id that no other row has, got 1, which an earlier row has"),
    ]


def test_rows_of_files_go_through_stages_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,text\n1,one\n2,two\n")
    assert counts(run(tmp_path / "rows.csv", functions.upper)) == {"seen": 2, "done": 2}
    assert told(tmp_path) == [{"id": "1", "text": "ONE"}, {"id": "2", "text": "TWO"}]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"stages": ()}, "at least one function"),
        ({"stages": [5]}, "a stage must be a function of a list of items, got 5"),
        ({"stages": ["no_such_module:f"]}, "no_such_module:f cannot be imported: there is no module no_such_module"),
        ({"stages": ["json:no_such"]}, r"no_such must be a plain function of .*json.*, got nothing of that name"),
        ({"stages": ["json"]}, "module:function"),
        ({"source": 5}, "source must be paths, or items one can go through, got int 5"),
        ({"sink": "out.txt"}, r"ends with \.jsonl"),
        ({"sink": "no/such/out.jsonl"}, "directory of the output"),
        ({"embedder": "static"}, "embedder goes with documents"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    described = {"source": texts(1), "stages": [functions.upper], "sink": "out.jsonl", **facts}
    with pytest.raises(tenire.ConfigError, match=message):
        tenire.run(tenire.Pipeline("p", **described), home=tmp_path / "home")
    assert not list(tmp_path.iterdir())


def test_a_stage_for_a_process_has_to_be_importable_there(tmp_path: Path) -> None:
    @tenire.stage(on="process")
    def local(items: list[Any]) -> list[Any]:
        return items

    with pytest.raises(tenire.ConfigError, match="defined inside another function"):
        tenire.run(tenire.Pipeline("p", [], stages=[local], sink=tmp_path / "o.jsonl"), home=tmp_path / "home")


def test_a_file_of_somebody_else_is_not_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"id": 1, "precious": true}\n')
    with pytest.raises(tenire.ConfigError, match="holds something that no run wrote"):
        run(texts(1), functions.upper)
    (tmp_path / "out.jsonl").unlink()
    run(texts(1), functions.upper)
    (tmp_path / "out.jsonl").write_text("changed by hand\n")
    assert counts(run(texts(1), functions.upper)) == {"seen": 1, "unchanged": 1}
    assert told(tmp_path) == [{"id": 0, "text": "TEXT 0"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"on": "gpu"}, "on must be one of"), ({"batch": 0}, "batch must be"), ({"timeout": 0}, "timeout must be")],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(tenire.ConfigError, match=message):
        tenire.stage(**options)


def test_a_coroutine_function_runs_nowhere_but_on_the_loop(tmp_path: Path) -> None:
    @tenire.stage(on="thread")
    async def waits(items: list[Any]) -> list[Any]:
        return items

    with pytest.raises(tenire.ConfigError, match="waits is a coroutine function, which runs on the loop"):
        tenire.run(tenire.Pipeline("p", [], stages=[waits], sink=tmp_path / "o.jsonl"), home=tmp_path / "home")


def test_what_is_to_be_tried_again_waits_for_its_program(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    def picky(items: list[Any]) -> list[Any]:
        functions.noted("picky", items)
        if os.environ.get("STAGE_IS_PICKY") and any(item["id"] == 1 for item in items):
            message = "not that one"
            raise ValueError(message)
        return items

    monkeypatch.setenv("STAGE_IS_PICKY", "1")
    assert counts(run(texts(2), picky)) == {"seen": 2, "done": 1, "quarantined": 1}
    monkeypatch.delenv("STAGE_IS_PICKY")
    (entry,) = failed(tmp_path / "home")
    result = retry(tmp_path / "home", [entry.id], all_=False)
    assert (result.requeued, result.report) == (1, None)
    assert counts(run(texts(2), picky)) == {"seen": 2, "done": 1, "unchanged": 1}
    assert called("picky") == [1]
    assert [item["id"] for item in told(tmp_path)] == [0, 1]


def test_stages_of_a_file_are_found_beside_it(tmp_path: Path, run_toml: Callable[..., Any]) -> None:
    (tmp_path / "stages_of_a_file.py").write_text(
        "def shout(items):\n    return [{**item, 'text': item['text'].upper()} for item in items]\n"
        "async def ask(items):\n    return [{**item, 'text': item['text'] + '?'} for item in items]\n"
    )
    (tmp_path / "rows.jsonl").write_text('{"id":1,"text":"one"}\n')
    text = """
        [pipelines.p]
        recipe = "stages"
        source = "rows.jsonl"
        stages = ["stages_of_a_file:shout", "stages_of_a_file:ask"]
        sink = "out.jsonl"
    """
    assert counts(run_toml(text).pipelines["p"]) == {"seen": 1, "done": 1}
    assert told(tmp_path) == [{"id": 1, "text": "ONE?"}]
    with pytest.raises(tenire.ConfigError, match=r"tenire\.toml: pipelines\.p\.stages: the function nowhere:shout"):
        run_toml(text.replace("stages_of_a_file:shout", "nowhere:shout"))


def test_a_row_that_changed_when_its_run_was_killed_is_told_by_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(texts(2), functions.upper)

    def killed(kept: KeptOutput, outcomes: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(KeptOutput, "add", killed)  # after the ledger, before the file
        patch.setattr(KeptOutput, "end", lambda *_, **__: None)
        run([{"id": 0, "text": "other"}, texts(2)[1]], functions.upper)
    assert told(tmp_path)[0]["text"] == "TEXT 0"
    again = run([{"id": 0, "text": "other"}, texts(2)[1]], functions.upper)
    assert counts(again) == {"seen": 2, "unchanged": 2}
    assert [item["text"] for item in told(tmp_path)] == ["OTHER", "TEXT 1"]


SCRIPT = """
import sys

import tenire


@tenire.stage(version=1)
def without_lions(items):
    texts = [item["text"].replace("Zebras", "Okapis") for item in items]
    return [None if "lion" in text else {**item, "text": text} for item, text in zip(items, texts)]


def no_ash(items):
    if "ash" in items[0]["text"]:
        raise ValueError("ash gets everywhere")
    return [{**item, "place": "zoo"} for item in items]


print("imported", __name__, file=sys.stderr)

if __name__ == "__main__":
    pipeline = tenire.Pipeline("p", source="docs", stages=[without_lions, no_ash], embedder="static")
    progress = tenire.run(pipeline, cpu=1).pipelines["p"]
    print(progress.done, progress.unchanged, progress.quarantined, progress.filtered, progress.error)
"""


def test_documents_go_through_stages_before_they_are_cut(tmp_path: Path) -> None:
    for name, text in (("a", ZEBRAS), ("b", "A lion sleeps."), ("c", VOLCANOES), ("d", LEDGERS)):
        write(tmp_path / f"docs/{name}.txt", text)
    script = write(tmp_path / "program.py", SCRIPT)

    def program() -> str:
        done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "imported program" not in done.stderr  # the script is not run a second time
        return done.stdout or done.stderr

    assert program() == "3 0 1 {'without_lions': 1} \n"
    assert program() == "0 3 1 {} \n"
    (entry,) = failed(tmp_path / ".tenire")
    assert (entry.stage, entry.error) == ("no_ash", "ValueError: ash gets everywhere")
    with tenire.Store(tmp_path / ".tenire") as store:
        assert [hit.text.partition(" ")[0] for hit in store.search("Okapis", mode="text").hits] == ["Okapis"]
        assert not store.search("Zebras", mode="text").hits
        assert store.search("Okapis", where="extra.place = 'zoo'").hits
    script.write_text(SCRIPT.replace('"Okapis"', '"Gnus"'))
    assert program() == "3 0 1 {'without_lions': 1} \n"
    write(tmp_path / "docs/c.txt", "Volcanoes throw stones.")
    words = [sys.executable, "-m", "tenire", "retry", "--all", "--json", "--quiet"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["pipelines"]["p"]["done"] == 1
    with tenire.Store(tmp_path / ".tenire") as store:
        assert len(store.search("stones", where="extra.place = 'zoo'").hits) > 0


def test_two_pipelines_cannot_write_one_file(tmp_path: Path) -> None:
    def described(name: str, source: Any) -> tenire.Pipeline:
        return tenire.Pipeline(name, source, stages=[functions.upper], sink=tmp_path / "out.jsonl")

    with pytest.raises(tenire.ConfigError, match=r"pipelines\.b\.output must be a file of its own"):
        tenire.run(described("a", texts(1)), described("b", texts(1)), home=tmp_path / "home")
    with pytest.raises(tenire.ConfigError, match=r"must not be the pipeline's own source"):
        tenire.run(described("a", tmp_path / "out.jsonl"), home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("where", ["first", "second"])
def test_a_run_that_is_cancelled_keeps_what_it_has_finished(tmp_path: Path, where: str) -> None:
    reached = asyncio.Event()
    waits_in = [where]

    async def go_through(name: str, items: list[Any]) -> list[Any]:
        functions.noted(name, items)
        if name in waits_in and items[0]["id"] >= 128:
            reached.set()
            await asyncio.Event().wait()
        return items

    async def first(items: list[Any]) -> list[Any]:
        return await go_through("first", items)

    async def second(items: list[Any]) -> list[Any]:
        return await go_through("second", items)

    described = tenire.Pipeline("p", texts(256), stages=[first, second], sink=tmp_path / "out.jsonl")

    async def main() -> None:
        running = asyncio.create_task(tenire.arun(described, home=tmp_path / "home", cpu=1))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    waits_in.clear()
    functions.calls.clear()
    progress = tenire.run(described, home=tmp_path / "home", cpu=1).pipelines["p"]
    assert progress.done + progress.unchanged == 256
    assert [item["id"] for item in told(tmp_path)] == list(range(256))
    if where == "second":
        assert len(called("first")) <= 128  # what it made is kept, and not made again
