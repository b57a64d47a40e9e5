"""Real chat pipelines against a strict server on this machine."""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.config import load_config
from tenire.app.estimate import estimate
from tenire.app.inspect import failed, retry
from tenire.app.runs import arun_config, run_config
from tenire.app.why import why
from tenire.concurrency.quotas import QuotaSharing
from tenire.errors import ConfigError
from tenire.llm.money import Price, to_usd
from tenire.llm.prices import price_of
from tenire.pipeline.chunks import BATCH_ITEMS
from tenire.pipeline.rows.under_way import READY
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.owners import new_owner
from tenire.storage.spending import Charge
from tenire.testing import FakeModelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tenire.app.config import Config
    from tenire.pipeline.progress import PipelineProgress, RunReport

    Run = Callable[..., RunReport]


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeModelServer]]:
    """Starts servers that end with the test."""
    servers: list[FakeModelServer] = []

    def start(**settings: Any) -> FakeModelServer:
        server = FakeModelServer(**settings)
        server.__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def describe(tmp_path: Path) -> Callable[..., Config]:
    """Writes a configuration: the server's quota, and chat pipelines with what they have of their own."""

    def write(server: FakeModelServer | None, *, head: str = "", quota: str = "", **pipelines: str) -> Config:
        address = "http://127.0.0.1:9/v1" if server is None else server.base_url
        parts = [f'[tenire]\nhome = "home"\n{head}\n[quotas.main]\nbase_url = "{address}"\n{quota}\n']
        for name, own in pipelines.items():
            keys = {
                "recipe": '"chat"', "source": '"rows.jsonl"', "quota": '"main"', "model": '"m"',
                "prompt": '"Sum up: {text}"', "max_output_tokens": "40", "output": f'"{name}.jsonl"',
            }  # fmt: skip
            keys |= dict(line.split(" = ", 1) for line in own.splitlines())
            parts.append(f"[pipelines.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
        file = tmp_path / "tenire.toml"
        file.write_text("\n".join(parts), "utf-8")
        return load_config(file)

    return write


def write_rows(path: Path, *rows: dict[str, Any] | str) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")


def some_rows(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"This is text {number} of some."} for number in range(count)]


def told(path: Path) -> dict[Any, Any]:
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    by_id = {record["id"]: record for record in records}
    assert len(by_id) == len(records)
    return by_id


def counts(progress: PipelineProgress) -> dict[str, int]:
    assert progress.seen == progress.done + progress.unchanged + progress.quarantined
    names = ("seen", "done", "unchanged", "quarantined", "removed", "calls", "cached_calls")
    return {name: count for name in names if (count := getattr(progress, name))}


PRICE = "[quotas.main.price]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10"


def test_rows_wait_for_their_turn_once_enough_of_them_stand_ready(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(latency=30.0)
    write_rows(tmp_path / "rows.jsonl", *some_rows(400))
    config = describe(server, quota="max_concurrency = 2", p="")

    async def main() -> None:
        live: dict[str, PipelineProgress] = {}
        running = asyncio.create_task(arun_config(config, on_start=live.update))
        while server.statistics().most_in_flight < 2:  # noqa: ASYNC110 - it is another thread that counts
            await asyncio.sleep(0.01)
        under_way = live["p"].stages[0].running
        running.cancel()
        await asyncio.wait([running])
        assert 2 <= under_way < 2 + READY + BATCH_ITEMS

    asyncio.run(main())


def test_every_row_gets_its_reply_once_and_a_run_again_asks_nothing(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(cached_tokens=3, reasoning_tokens=2)
    write_rows(tmp_path / "rows.jsonl", *some_rows(40))
    config = describe(server, quota=PRICE, p="")
    progress = run_config(config).pipelines["p"]
    assert counts(progress) == {"seen": 40, "done": 40, "calls": 40}
    assert (progress.cached_tokens, progress.reasoning_tokens) == (120, 80)
    output = told(tmp_path / "p.jsonl")
    assert list(output) == list(range(40))
    assert all(list(record) == ["id", "output", "usage"] and record["output"] for record in output.values())
    usage = [record["usage"] for record in output.values()]
    assert progress.input_tokens == sum(each["input_tokens"] for each in usage)
    assert progress.output_tokens == sum(each["output_tokens"] for each in usage)
    assert progress.cost_usd == pytest.approx((progress.input_tokens + 10 * progress.output_tokens) / 1e6)

    assert counts(run_config(config).pipelines["p"]) == {"seen": 40, "unchanged": 40}
    assert server.statistics().calls == 40


WATCHED_RUN = """
import asyncio, sys
from pathlib import Path
from tenire.app.config import load_config
from tenire.app.runs import run_config


class OnTheLoop:
    def find_spec(self, name, path=None, target=None):
        if asyncio._get_running_loop() is not None:
            print(name)


config = load_config(Path(sys.argv[1]))
sys.meta_path.insert(0, OnTheLoop())
assert run_config(config).pipelines["sums"].done == 3
"""


def test_nothing_that_calls_need_is_imported_on_the_loop(tmp_path: Path, serve: Any, describe: Any) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(3))
    describe(serve(), sums="")
    words = [sys.executable, "-c", WATCHED_RUN, str(tmp_path / "tenire.toml")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert [name for name in ended.stdout.split() if name.startswith(("tenire", "aiohttp", "yarl", "ssl"))] == []


def test_a_changed_prompt_and_a_changed_row_ask_for_what_changed_only(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    server = serve()
    write_rows(tmp_path / "rows.jsonl", *some_rows(5))
    run_config(describe(server, p=""))
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "Other."}, *some_rows(1), *some_rows(5)[2:4])
    progress = run_config(describe(server, p="")).pipelines["p"]
    assert counts(progress) == {"seen": 4, "done": 1, "unchanged": 3, "removed": 1, "calls": 1}
    assert list(told(tmp_path / "p.jsonl")) == [1, 0, 2, 3]
    progress = run_config(describe(server, p='prompt = "Else: {text}"')).pipelines["p"]
    assert counts(progress) == {"seen": 4, "done": 4, "calls": 4}
    # The first prompt again: the replies are known.
    progress = run_config(describe(server, p="")).pipelines["p"]
    assert counts(progress) == {"seen": 4, "done": 4, "cached_calls": 4}
    assert server.statistics().paid_twice == 0


def test_a_field_that_no_row_has_is_refused_before_anything_is_sent_or_written(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    server = serve()
    write_rows(tmp_path / "rows.jsonl", *some_rows(2))
    with pytest.raises(ConfigError) as caught:
        run_config(describe(server, p='prompt = "Sum up: {txt}"'))
    said = str(caught.value)
    assert "tenire.toml: pipelines.p.prompt uses {txt}, but the rows of rows.jsonl have: id, text" in said
    assert caught.value.key == "pipelines.p.prompt"
    assert server.statistics().calls == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "tenire.toml"]


def test_a_template_that_is_none_is_refused_when_it_is_read(tmp_path: Path, describe: Any) -> None:
    with pytest.raises(ConfigError, match=r"pipelines\.p\.prompt has a single \{ at character 1"):
        describe(None, p='prompt = "{text"')


def test_a_key_that_is_not_there_and_a_price_that_a_budget_needs_are_refused(tmp_path: Path, describe: Any) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(1))
    with pytest.raises(ConfigError, match=r"quotas\.main: .*NO_SUCH_KEY"):
        run_config(describe(None, quota='api_key_env = "NO_SUCH_KEY"', p=""))
    with pytest.raises(ConfigError, match="what 'm' costs is not known"):
        run_config(describe(None, head="budget_usd = 1.0", p=""))
    assert not (tmp_path / "home").exists()


def test_models_are_asked_in_order_and_each_costs_what_it_costs(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(models=("gpt-4o",))
    write_rows(tmp_path / "rows.jsonl", *some_rows(20))
    pipeline = 'model = "gpt-4o-mini"\nfallback = ["gpt-4.1-mini", "gpt-4o"]'
    progress = run_config(describe(server, head="budget_usd = 1.0", p=pipeline)).pipelines["p"]
    assert (progress.done, progress.quarantined) == (20, 0)
    assert all(record.status in (404, 200) for record in server.records())
    price = price_of("gpt-4o")
    assert price is not None
    most = price.most(progress.input_tokens, progress.output_tokens)
    assert progress.cost_usd == pytest.approx(to_usd(most))


def test_the_price_of_a_quota_is_not_that_of_fallbacks_whose_price_is_known(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    cheap = "[quotas.main.price]\ninput_usd_per_mtok = 0.01\noutput_usd_per_mtok = 0.01"
    write_rows(tmp_path / "rows.jsonl", *some_rows(20))
    for model, price in (("gpt-4o", price_of("gpt-4o")), ("unheard-of", Price(0.01, 0.01)), ("m", Price(0.01, 0.01))):
        pipeline = 'fallback = ["gpt-4o", "unheard-of"]'
        config = describe(serve(models=(model,)), quota=cheap, head="budget_usd = 1.0", **{f"by-{model}": pipeline})
        progress = run_config(config).pipelines[f"by-{model}"]
        assert progress.done == 20
        assert price is not None
        most = to_usd(price.most(progress.input_tokens, progress.output_tokens))
        assert progress.cost_usd == pytest.approx(most)


def test_a_fallback_needs_a_provider_and_a_price_if_there_is_a_budget(tmp_path: Path, describe: Any) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(1))
    with pytest.raises(ConfigError, match="what 'm2' costs is not known"):
        run_config(describe(None, head="budget_usd = 1.0", p='model = "gpt-4o"\nfallback = ["gpt-4o-mini", "m2"]'))
    with pytest.raises(ConfigError, match="a model on this machine has no fallback"):
        run_config(describe(None, p='model = "local"\nfallback = ["gpt-4o"]'))
    with pytest.raises(ConfigError, match=r"pipelines\.p\.fallback must be a list of models"):
        describe(None, p="fallback = 5")


def test_an_output_that_is_somebody_elses_is_left_alone(tmp_path: Path, describe: Any) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(1))
    (tmp_path / "p.jsonl").write_text("my notes\n", "utf-8")
    with pytest.raises(ConfigError, match=r"pipelines\.p\.output: .* holds something that no run wrote"):
        run_config(describe(None, p=""))
    assert (tmp_path / "p.jsonl").read_text("utf-8") == "my notes\n"


@pytest.mark.parametrize("name", ["p.parquet", "p.db"])
def test_an_output_whose_ending_says_another_form_is_refused(tmp_path: Path, describe: Any, name: str) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(1))
    with pytest.raises(ConfigError, match=r"pipelines\.p\.output: this output is a file of JSON lines, got .*p\."):
        run_config(describe(None, p=f'output = "{name}"'))
    assert not (tmp_path / name).exists()


def test_a_wrong_key_stops_its_pipeline_at_once_and_no_other(
    tmp_path: Path, serve: Any, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, strict = serve(), serve(api_key="right")
    write_rows(tmp_path / "rows.jsonl", *some_rows(2_000))
    monkeypatch.setenv("WRONG_KEY", "wrong")
    other = f'max_concurrency = 4\n[quotas.strict]\nbase_url = "{strict.base_url}"\napi_key_env = "WRONG_KEY"'
    write_rows(tmp_path / "few.jsonl", *some_rows(20))
    config = describe(good, quota=other, p='source = "few.jsonl"', bad='quota = "strict"')
    report = run_config(config)
    assert report.failed == ("bad",)
    assert counts(report.pipelines["p"]) == {"seen": 20, "done": 20, "calls": 20}
    error = report.pipelines["bad"].error
    assert "401" in error
    assert "wrong" not in error.lower().replace("wrong key", "").replace("wrong_key", "")
    assert strict.statistics().calls == 1
    assert failed(tmp_path / "home") == []


def test_an_unknown_model_stops_its_pipeline(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(models=("known",))
    write_rows(tmp_path / "rows.jsonl", *some_rows(5))
    report = run_config(describe(server, p='model = "other"'))
    assert report.failed == ("p",)
    assert "other" in report.pipelines["p"].error


def test_bad_rows_are_quarantined_with_their_place_and_retried_on_request(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    server = serve(poison="cyanide", poison_answer="400")
    write_rows(
        tmp_path / "rows.jsonl", {"id": "a", "text": "cyanide"}, "{broken", {"id": "b", "text": "fine"}, '{"id": "c"}'
    )
    config = describe(server, p="")
    progress = run_config(config).pipelines["p"]
    assert counts(progress) == {"seen": 4, "done": 1, "quarantined": 3, "calls": 2}
    entries = {item.source.rpartition("#")[2]: item for item in failed(tmp_path / "home")}
    assert set(entries) == {"a", "line 2", "c"}
    assert entries["a"].source == f"{tmp_path / 'rows.jsonl'}#a"
    assert (entries["a"].stage, entries["c"].stage, entries["line 2"].stage) == ("call", "prompt", "read")
    assert "400" in entries["a"].error
    assert "text" in entries["c"].error
    assert {name: item.attempts for name, item in entries.items()} == {"a": 1, "line 2": 0, "c": 0}
    assert "no try got an answer" in why(tmp_path / "home", entries["c"].id).paragraph
    assert "line 2" in why(tmp_path / "home", entries["line 2"].id).paragraph

    assert counts(run_config(config).pipelines["p"]) == {"seen": 4, "unchanged": 1, "quarantined": 3}
    report = retry(tmp_path / "home", [entries["a"].id], all_=False).report
    assert report is not None
    assert counts(report.pipelines["p"]) == {"seen": 1, "quarantined": 1, "calls": 1}
    assert next(item.attempts for item in failed(tmp_path / "home") if item.id == entries["a"].id) == 2

    other = serve()
    describe(other, p="")  # the configuration as it is now is what counts
    report = retry(tmp_path / "home", [], all_=True).report
    assert report is not None
    assert report.pipelines["p"].done == 1
    assert set(told(tmp_path / "p.jsonl")) == {"a", "b"}
    assert other.statistics().calls == 1


def test_a_retry_whose_configuration_is_gone_changes_nothing(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(poison="x", poison_answer="400")
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "x"})
    run_config(describe(server, p=""))
    (tmp_path / "tenire.toml").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        retry(tmp_path / "home", [], all_=True)
    [entry] = failed(tmp_path / "home")
    assert why(tmp_path / "home", entry.id).state == "quarantined"


def test_a_retry_of_all_leaves_what_was_renamed_and_says_so(tmp_path: Path, serve: Any, describe: Any) -> None:
    server, home = serve(poison="x", poison_answer="400"), tmp_path / "home"
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "x"})
    run_config(describe(server, old="", same=""))
    describe(serve(), new="", same="")
    named = {item.pipeline: item.id for item in failed(home)}
    with pytest.raises(ConfigError, match='no pipeline is named "old" any more'):
        retry(home, [named["old"], named["same"]], all_=False)
    assert {why(home, entry).state for entry in named.values()} == {"quarantined"}

    result = retry(home, [], all_=True)
    assert result.report is not None
    assert (result.requeued, {name: one.done for name, one in result.report.pipelines.items()}) == (1, {"same": 1})
    assert {name: one.entries for name, one in result.left.items()} == {"old": 1}
    assert [(item.pipeline, why(home, item.id).state) for item in failed(home)] == [("old", "quarantined")]
    with pytest.raises(ConfigError, match='no pipeline is named "old" any more'):
        retry(home, [], all_=True)


@pytest.mark.parametrize("choice", ["quarantine", "shorten"])
def test_a_prompt_that_is_too_long_is_quarantined_or_shortened(
    tmp_path: Path, serve: Any, describe: Any, choice: str
) -> None:
    server = serve(context=400)
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "long " * 3_000}, {"id": 2, "text": "short"})
    progress = run_config(describe(server, p=f'on_too_long = "{choice}"')).pipelines["p"]
    if choice == "shorten":
        assert (progress.done, progress.quarantined) == (2, 0)
        assert told(tmp_path / "p.jsonl")[1]["usage"]["input_tokens"] > 200
    else:
        assert (progress.done, progress.quarantined) == (1, 1)
        [entry] = failed(tmp_path / "home")
        assert "context" in entry.error
        # Told to shorten after all, it is tried again by itself.
        progress = run_config(describe(server, p='on_too_long = "shorten"')).pipelines["p"]
        assert (progress.done, progress.unchanged) == (1, 1)


def test_a_row_that_costs_more_than_the_quota_is_refused_with_the_numbers(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    server = serve(tpm=1_000)
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "long " * 3_000}, {"id": 2, "text": "short"})
    progress = run_config(describe(server, quota="tpm = 1000", p="")).pipelines["p"]
    assert counts(progress) == {"seen": 2, "done": 1, "quarantined": 1, "calls": 1}
    [entry] = failed(tmp_path / "home")
    assert "1,000" in entry.error or "1000" in entry.error
    assert server.statistics().refused == 0


def test_a_budget_ends_the_run_and_a_larger_one_goes_on_without_paying_twice(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    server = serve(output_tokens=(40, 40))
    write_rows(tmp_path / "rows.jsonl", *some_rows(200))
    report = run_config(describe(server, head="budget_usd = 0.02", quota=PRICE, p=""))
    progress = report.pipelines["p"]
    assert report.failed == ("p",)
    assert "budget_usd" in progress.error
    assert "$0.02" in progress.error
    assert "raise the budget" in progress.error
    assert progress.cost_usd <= 0.02
    finished = told(tmp_path / "p.jsonl")
    assert 20 < len(finished) < 60
    progress = run_config(describe(server, head="budget_usd = 2.0", quota=PRICE, p="")).pipelines["p"]
    assert (progress.seen, progress.state) == (200, "done")
    assert progress.done + progress.unchanged == 200
    assert server.statistics().paid_twice == 0
    assert server.statistics().calls == 200


def test_an_estimate_errs_high_and_writes_and_sends_nothing(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(output_tokens=(40, 40))
    write_rows(tmp_path / "rows.jsonl", *some_rows(30), "broken")
    config = describe(server, head="budget_usd = 5.0", quota=PRICE, p="", q='prompt = "Else {text}"')
    before = estimate(config)
    told_p = before.pipelines["p"]
    assert (told_p.seen, told_p.calls, told_p.quarantined, told_p.output_tokens) == (31, 30, 1, 1_200)
    assert server.statistics().calls == 0
    assert not (tmp_path / "home").exists()
    progress = run_config(config, only=["p"]).pipelines["p"]
    assert told_p.cost_usd is not None
    assert progress.cost_usd <= told_p.cost_usd <= 1.5 * progress.cost_usd
    after = estimate(config)
    assert (after.pipelines["p"].calls, after.pipelines["p"].unchanged, after.pipelines["p"].quarantined) == (0, 30, 1)
    assert after.spent_usd == pytest.approx(progress.cost_usd)
    assert after.as_json()["estimate"]["q"]["calls"] == 30
    assert after.cost_usd == after.pipelines["q"].cost_usd


@pytest.mark.parametrize(
    ("mode", "rows", "stopped"),
    # Of calls one by one, those before the last have cost less than was estimated.
    [("realtime", 1, True), ("realtime", 30, False), ("batch", 30, True), ("auto", 30, False)],
)
def test_an_estimate_says_what_budget_does_not_stop_the_run(
    tmp_path: Path, serve: Any, describe: Any, mode: str, rows: int, stopped: bool
) -> None:
    server = serve(output_tokens=(40, 40), batch_seconds=0.1)
    write_rows(tmp_path / "rows.jsonl", *some_rows(rows))

    def planned(budget: float) -> Config:
        config: Config = describe(server, head=f"budget_usd = {budget!r}", quota=PRICE, p=f'mode = "{mode}"')
        return config

    told = estimate(planned(5.0))
    assert told.cost_usd is not None
    assert told.needed_usd is not None
    assert told.cost_usd < told.needed_usd < 1.25 * told.cost_usd
    if stopped:
        assert run_config(planned(told.cost_usd)).failed == ("p",)
        assert server.statistics().calls == 0
    assert run_config(planned(told.needed_usd)).pipelines["p"].done == rows
    assert estimate(planned(5.0)).needed_usd == estimate(planned(5.0)).spent_usd > 0


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_an_estimate_says_what_budget_of_its_own_does_not_stop_a_pipeline(
    tmp_path: Path, serve: Any, describe: Any, mode: str
) -> None:
    server = serve(output_tokens=(40, 40), batch_seconds=0.1)
    write_rows(tmp_path / "rows.jsonl", {"id": 1, "text": "This is the only text."})

    def planned(budget: float, own: float) -> Config:
        p, q = f'mode = "{mode}"\nbudget_usd = {own!r}', 'prompt = "In short: {text}"'
        config: Config = describe(server, head=f"budget_usd = {budget!r}", quota=PRICE, p=p, q=q)
        return config

    assert estimate(planned(5.0, 4.0), ["q"]).pipelines["q"].budget_usd is None
    assert run_config(planned(5.0, 4.0), only=["q"]).pipelines["q"].done == 1
    assert estimate(planned(5.0, 4.0)).pipelines["q"].spent_usd > 0
    told = estimate(planned(5.0, 4.0), ["p"]).pipelines["p"]
    assert (told.budget_usd, told.spent_usd) == (4.0, 0.0)  # what others have spent is not taken from its own
    assert told.cost_usd is not None
    assert told.needed_usd is not None
    assert told.cost_usd < told.needed_usd < 2 * told.cost_usd
    assert run_config(planned(5.0, told.cost_usd), only=["p"]).failed == ("p",)
    assert run_config(planned(5.0, told.needed_usd), only=["p"]).pipelines["p"].done == 1
    after = estimate(planned(5.0, 4.0)).pipelines["p"]
    assert after.needed_usd == after.spent_usd > 0


def test_what_calls_of_a_killed_program_may_have_cost_is_told_by_the_run_that_finds_it(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(3))
    config = describe(serve(), head="budget_usd = 5.0", quota=PRICE, p="")
    lost = Charge("p", "m", 10, 0, 100, 0, 2_000_000_000, 2_000_000_000)
    with Ledger.open(Home(config.tenire.home)) as ledger:
        ledger.spending.expect(f"{2**30}/0.00/killed/{platform.node()}", {1: lost})
    told_at_once: list[float] = []
    report = run_config(config, on_lost=told_at_once.append)
    assert report.as_json()["lost_usd"] == 0.002
    assert told_at_once == [0.002]  # a run that is interrupted has no report
    assert (report.pipelines["p"].done, report.pipelines["p"].guessed_usd) == (3, 0)
    assert "lost_usd" not in run_config(config).as_json()


def test_what_calls_of_a_killed_program_may_have_cost_is_spent_for_an_estimate_already(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(3))
    config = describe(serve(), head="budget_usd = 5.0", quota=PRICE, p="budget_usd = 4.0", q="")
    with Ledger.open(Home(config.tenire.home)) as ledger:
        for number, (pipeline, picodollars) in enumerate([("p", 2_000_000_000), ("q", 1_000_000_000)]):
            lost = Charge(pipeline, "m", 10, 0, 100, 0, picodollars, picodollars)
            ledger.spending.expect(f"{2**30}/0.00/killed/{platform.node()}", {number: lost})
        ledger.spending.expect(new_owner(), {1: lost})  # a program that runs: perhaps it costs nothing
    before = estimate(config, ["p"])
    assert (before.spent_usd, before.pipelines["p"].spent_usd) == (0.003, 0.002)
    assert estimate(config, ["p"]).needed_usd == before.needed_usd  # it has charged nothing
    report = run_config(config, only=["p"])
    assert report.lost_usd == 0.003
    after = estimate(config, ["p"])
    assert after.spent_usd == pytest.approx(0.003 + report.pipelines["p"].cost_usd)


def test_what_calls_of_a_killed_program_may_have_cost_is_told_by_the_retry_that_finds_it(
    tmp_path: Path, serve: Any, describe: Any
) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(3), "no row at all")
    config = describe(serve(), head="budget_usd = 5.0", quota=PRICE, p="")
    assert run_config(config).quarantined == 1
    lost = Charge("p", "m", 10, 0, 100, 0, 2_000_000_000, 2_000_000_000)
    with Ledger.open(Home(config.tenire.home)) as ledger:
        ledger.spending.expect(f"{2**30}/0.00/killed/{platform.node()}", {1: lost})
    told_at_once: list[float] = []
    assert retry(config.tenire.home, [], all_=True, on_lost=told_at_once.append).requeued == 1
    assert told_at_once == [0.002]


@pytest.mark.parametrize("own", ["", "temperature = 1.0", 'system = "Be short."'])
def test_an_estimate_takes_what_is_kept_for_free(tmp_path: Path, serve: Any, describe: Any, own: str) -> None:
    server = serve()
    write_rows(tmp_path / "rows.jsonl", *some_rows(700))
    config = describe(server, quota=PRICE, p=own, same=own, other='prompt = "Else {text}"')
    run_config(config, only=["p"])
    told = estimate(config, only=["same", "other"]).pipelines
    assert (told["same"].calls, told["same"].kept, told["same"].cost_usd) == (0, 700, 0)
    assert (told["other"].calls, told["other"].kept) == (700, 0)
    report = run_config(config, only=["same"])
    assert counts(report.pipelines["same"]) == {"seen": 700, "done": 700, "cached_calls": 700}


@pytest.mark.parametrize(
    ("own", "calls", "asked_anew"),
    [
        ("ttl_s = 3600", 0, 0),
        ("cache = false", 20, 20),
        ("ttl_s = 0", 20, 20),
        ("ttl_s = 0\nstale_s = 3600", 20, 0),
    ],
)
def test_what_is_kept_answers_rows_as_long_as_their_pipeline_says(
    tmp_path: Path, serve: Any, describe: Any, own: str, calls: int, asked_anew: int
) -> None:
    server = serve(latency=0.05)
    write_rows(tmp_path / "rows.jsonl", *some_rows(20))
    config = describe(server, quota=PRICE, p="", same=own)
    before = run_config(config, only=["p"]).pipelines["p"].cost_usd
    told = estimate(config, only=["same"]).pipelines["same"]
    assert (told.calls, told.kept) == (calls, 20 - calls)
    progress = run_config(config, only=["same"]).pipelines["same"]
    assert (progress.done, progress.cached_calls) == (20, 20 - asked_anew)
    # What had grown stale answers its row at once. What was sent in its place is kept before the run ends.
    assert asked_anew <= progress.calls <= calls
    assert (progress.calls > 0) == (calls > 0)
    server_told = server.statistics()
    assert (server_told.calls, server_told.answered) == (20 + progress.calls, 20 + progress.calls)
    with Ledger.read(Home(tmp_path / "home")) as ledger:
        assert to_usd(ledger.spending.total().cost) == pytest.approx(before + progress.cost_usd)


@pytest.mark.parametrize(
    ("own", "key", "message"),
    [
        ("cache = false\nttl_s = 60", "ttl_s", "ttl_s goes with cache = true, got ttl_s = 60 with cache = false"),
        ("cache = false\nstale_s = 5", "stale_s", "stale_s goes with cache = true"),
        ("stale_s = 5", "stale_s", "stale_s goes with ttl_s"),
        ('cache = false\nmode = "batch"', "cache", "cache = false goes with mode = 'realtime', got mode = 'batch'"),
        ('ttl_s = 60\nmode = "auto"', "ttl_s", "ttl_s = 60 goes with mode = 'realtime', got mode = 'auto'"),
    ],
)
def test_settings_of_what_is_kept_that_contradict_each_other_are_refused(
    tmp_path: Path, describe: Any, own: str, key: str, message: str
) -> None:
    write_rows(tmp_path / "rows.jsonl", *some_rows(1))
    with pytest.raises(ConfigError, match=message) as caught:
        run_config(describe(None, p=own))
    assert caught.value.key == f"pipelines.p.{key}"
    assert not (tmp_path / "home").exists()


def test_a_pipeline_reads_what_the_one_before_it_writes(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve()
    write_rows(tmp_path / "rows.jsonl", *some_rows(5))
    second = 'source = "p.jsonl"\nafter = ["p"]\nprompt = "Again: {output}"'
    report = run_config(describe(server, p="", q=second))
    assert not report.failed
    assert list(told(tmp_path / "q.jsonl")) == list(range(5))
    (tmp_path / "p.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"pipelines\.q\.source"):
        run_config(load_config(tmp_path / "tenire.toml"), only=["q"])


def test_two_pipelines_share_one_quota_without_a_refusal(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve(rpm=600, window=1.0, tpm=10_000_000)
    write_rows(tmp_path / "rows.jsonl", *some_rows(60))
    report = run_config(describe(server, quota="rpm = 600", p="", q='prompt = "Else {text}"\npriority = "low"'))
    assert not report.failed
    assert [progress.done for progress in report.pipelines.values()] == [60, 60]
    assert server.statistics().refused == 0


def test_replies_follow_a_schema_and_stand_in_the_output_as_data(tmp_path: Path, serve: Any, describe: Any) -> None:
    server = serve()
    write_rows(tmp_path / "rows.jsonl", *some_rows(3))
    schema = {
        "type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"],
        "additionalProperties": False,
    }  # fmt: skip
    (tmp_path / "mood.json").write_text(json.dumps(schema))
    config = describe(server, p='schema = "mood.json"')
    assert run_config(config).pipelines["p"].done == 3
    assert all(set(record["output"]) == {"mood"} for record in told(tmp_path / "p.jsonl").values())
    assert run_config(config).pipelines["p"].unchanged == 3
    (tmp_path / "mood.json").write_text(json.dumps(schema | {"title": "other"}))
    assert run_config(config).pipelines["p"].done == 3

    for content, problem in (("{", "is not JSON"), ("[]", "must hold a JSON schema")):
        (tmp_path / "mood.json").write_text(content)
        with pytest.raises(ConfigError, match=rf"pipelines\.p\.schema: .*{problem}"):
            run_config(config)
    (tmp_path / "mood.json").unlink()
    with pytest.raises(ConfigError, match=r"pipelines\.p\.schema: .*cannot be read"):
        run_config(config)


def test_quotas_with_equal_limits_are_one_unless_their_groups_tell_them_apart(
    serve: Any, describe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[str] = []

    class Seen(QuotaSharing):
        def __init__(self, key: str, **options: Any) -> None:
            shared.append(key)
            super().__init__(key, **options)

    monkeypatch.setattr("tenire.llm.quotas.QuotaSharing", Seen)
    write_rows(tmp_path / "rows.jsonl", {"id": "a", "text": "one"})
    server = serve()
    other = f'[quotas.other]\nbase_url = "{server.base_url}"\n'
    limits = "rpm = 500\ntpm = 100000\n{}\n" + other + "rpm = {}\ntpm = 100000\n{}"
    for mine, rpm, others, together in (
        ("", 500, "", 1),
        ('group = "small"', 500, 'group = "large"', 2),
        ('group = "all"', 400, 'group = "all"', 1),
        ("", 400, "", 2),
    ):
        shared.clear()
        quota = limits.format(mine, rpm, others)
        run_config(describe(server, quota=quota, one="", two='quota = "other"\nmodel = "n"'))
        assert len(shared) == 2
        assert len(set(shared)) == together
