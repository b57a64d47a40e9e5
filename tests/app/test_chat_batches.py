"""Chat pipelines whose rows go to the provider in batches."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import msgspec
import pytest

from tenire.app.ask import ask
from tenire.app.config import load_config
from tenire.app.estimate import estimate
from tenire.app.inspect import failed, retry
from tenire.app.runs import arun_config, run_config
from tenire.errors import ConfigError
from tenire.llm.batches import asking
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.testing import FakeModelServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(asking, "_LEAST_LOOK_S", 0.02)
    monkeypatch.setattr(asking, "_LOOK_SPACING_S", 0.0)


def configure(folder: Path, server: FakeModelServer | None, rows: int | list[str] = 12, **keys: str) -> Any:
    """Write a configuration and its rows."""
    texts = [f"This is text {number}." for number in range(rows)] if isinstance(rows, int) else rows
    lines = [json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)]
    (folder / "rows.jsonl").write_text("".join(lines), "utf-8")
    address = "http://127.0.0.1:9/v1" if server is None else server.base_url
    every = {
        "recipe": '"chat"', "source": '"rows.jsonl"', "quota": '"main"', "model": '"m"', "prompt": '"Sum up: {text}"',
        "max_output_tokens": "40", "output": '"p.jsonl"', "mode": '"batch"', **keys,
    }  # fmt: skip
    file = folder / "tenire.toml"
    file.write_text(
        f'[tenire]\nhome = "home"\n[quotas.main]\nbase_url = "{address}"\n[quotas.main.price]\n'
        "input_usd_per_mtok = 1\noutput_usd_per_mtok = 10\nbatch_share = 0.4\n[pipelines.p]\n"
        + "".join(f"{key} = {value}\n" for key, value in every.items() if value),
        "utf-8",
    )
    return load_config(file)


def counts(progress: PipelineProgress) -> dict[str, int]:
    assert progress.seen == progress.done + progress.unchanged + progress.quarantined
    names = ("seen", "done", "unchanged", "quarantined", "removed", "calls", "cached_calls")
    return {name: count for name in names if (count := getattr(progress, name))}


def output(folder: Path) -> list[int]:
    """Return the ids of the output, all of which have a text."""
    records = [json.loads(line) for line in (folder / "p.jsonl").read_text("utf-8").splitlines()]
    assert all(record["output"] and record["usage"]["output_tokens"] for record in records)
    return [record["id"] for record in records]


def test_rows_are_answered_in_batches_and_paid_at_their_price(tmp_path: Path) -> None:
    with FakeModelServer(batch_seconds=0.1) as server:
        progress = run_config(configure(tmp_path, server, batch_rows="5")).pipelines["p"]
        assert counts(progress) == {"seen": 12, "done": 12, "calls": 12}
        cost = (progress.input_tokens + 10 * progress.output_tokens) * 0.4 / 1e6
        assert progress.cost_usd == pytest.approx(cost)
        assert output(tmp_path) == list(range(12))
        assert counts(run_config(configure(tmp_path, server)).pipelines["p"]) == {"seen": 12, "unchanged": 12}
        progress = run_config(configure(tmp_path, server, 14)).pipelines["p"]
        assert counts(progress) == {"seen": 14, "done": 2, "unchanged": 12, "calls": 2}
        assert server.statistics().answered == 14


def test_a_row_that_the_provider_refuses_goes_to_quarantine_and_can_be_tried_again(tmp_path: Path) -> None:
    with FakeModelServer(batch_seconds=0.1, poison="arsenic", poison_answer="400") as server:
        config = configure(tmp_path, server, ["salt", "arsenic", "sugar"])
        assert counts(run_config(config).pipelines["p"]) == {"seen": 3, "done": 2, "quarantined": 1, "calls": 3}
        (entry,) = failed(tmp_path / "home")
        assert entry.source.endswith("rows.jsonl#1")
        assert entry.attempts == 1
        assert "content policy" in entry.error
        assert "arsenic" not in entry.error
        assert counts(run_config(config).pipelines["p"]) == {"seen": 3, "unchanged": 2, "quarantined": 1}
        retry(tmp_path / "home", [], all_=True)
        assert len(failed(tmp_path / "home")) == 1
        assert output(tmp_path) == [0, 2]


@pytest.mark.parametrize(("mode", "share"), [("batch", 0.4), ("auto", 1.0), ("realtime", 1.0)])
def test_an_estimate_has_the_price_of_its_mode(tmp_path: Path, mode: str, share: float) -> None:
    told = estimate(configure(tmp_path, None, mode=f'"{mode}"')).pipelines["p"]
    assert told.cost_usd == pytest.approx(share * (told.input_tokens + 10 * told.output_tokens) / 1e6)


def test_auto_asks_at_once_what_must_be_there_soon(tmp_path: Path) -> None:
    with FakeModelServer(batch_seconds=60) as server:
        config = configure(tmp_path, server, mode='"auto"', deadline_s="600")
        assert counts(run_config(config).pipelines["p"]) == {"seen": 12, "done": 12, "calls": 12}
        assert output(tmp_path) == list(range(12))


def test_a_prompt_that_is_too_long_is_cut_when_its_turn_comes(tmp_path: Path) -> None:
    with FakeModelServer(batch_seconds=0.1, context=200) as server:
        config = configure(tmp_path, server, ["short", "long " * 500], on_too_long='"shorten"')
        progress = run_config(config).pipelines["p"]
        assert (progress.done, progress.quarantined) == (2, 0)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"mode": '"later"'}, "pipelines.p.mode"),
        ({"deadline_s": "5"}, "pipelines.p.deadline_s"),
        ({"mode": '"auto"', "model": '"local"', "quota": ""}, "pipelines.p.mode"),
        ({"batch_rows": "0"}, "pipelines.p.batch_rows"),
    ],
)
def test_an_impossible_setting_is_refused_before_anything_starts(
    tmp_path: Path, keys: dict[str, str], key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run_config(configure(tmp_path, None, **keys))
    assert caught.value.key == key
    assert not (tmp_path / "home").exists()


def interrupted(config: Any, home: Home, how: Callable[[asyncio.Task[Any]], Awaitable[object]]) -> PipelineProgress:
    """Run until the provider has a batch, and do something then."""

    def handed_over() -> bool:
        if not Ledger.exists(home):
            return False
        with Ledger.join(home) as ledger, ledger.snapshot():
            query = "SELECT count(*) FROM provider_batches WHERE state = 'sent'"
            return bool(ledger._database._connection.execute(query).fetchone()[0])

    async def main() -> PipelineProgress:
        live: dict[str, PipelineProgress] = {}
        running = asyncio.create_task(arun_config(config, on_start=live.update))
        while not await asyncio.to_thread(handed_over):  # noqa: ASYNC110 - it is in a file
            await asyncio.sleep(0.01)
        await how(running)
        await asyncio.wait([running])
        return live["p"]

    return asyncio.run(main())


def batches(server: FakeModelServer) -> list[str]:
    """Return the states of the batches that the provider has."""
    with urlopen(f"{server.base_url}/batches") as answer:
        return [batch["status"] for batch in json.load(answer)["data"]]


def hurry(server: FakeModelServer) -> None:
    """Let batches take a tenth of a second from now on: those before it outlast the slowest machine's cancelling."""
    server._provider.settings = msgspec.structs.replace(server.settings, batch_seconds=0.1)


def test_a_run_that_is_interrupted_lets_its_batches_go_on_and_the_next_one_waits_for_them(tmp_path: Path) -> None:
    async def stop(running: asyncio.Task[Any]) -> None:
        running.cancel()

    with FakeModelServer(batch_seconds=60.0) as server:
        config = configure(tmp_path, server)
        assert interrupted(config, Home(tmp_path / "home"), stop).state == "cancelled"
        assert not {"cancelled", "cancelling"} & set(batches(server))
        hurry(server)
        assert counts(run_config(config).pipelines["p"])["done"] == 12
        assert batches(server) == ["completed"]
        assert server.statistics().answered == 12
        assert output(tmp_path) == list(range(12))


def test_a_pipeline_that_is_cancelled_has_its_batches_cancelled(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    async def cancel(_: asyncio.Task[Any]) -> None:
        told = await asyncio.to_thread(ask, home, "cancel", "p", timeout=10.0)
        assert told["state"] == "cancelled"

    with FakeModelServer(batch_seconds=60.0) as server:
        config = configure(tmp_path, server)
        assert interrupted(config, home, cancel).state == "cancelled"
        assert batches(server) == ["cancelled"]
        hurry(server)
        assert counts(run_config(config).pipelines["p"])["done"] == 12
        assert batches(server) == ["completed", "cancelled"]
        assert server.statistics().answered == 12
        assert output(tmp_path) == list(range(12))
