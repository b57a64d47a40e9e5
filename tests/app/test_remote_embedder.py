"""Documents whose vectors come from a server on this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tenire.app.config import ingest_config, load_config
from tenire.app.inspect import failed, retry, verify
from tenire.app.runs import run_config
from tenire.app.search import Store, search
from tenire.core.tasks import Retry
from tenire.errors import CallTimeoutError, ConfigError, EmbedderMismatchError
from tenire.llm.client import ChatClient
from tenire.testing import FakeModelServer

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tenire.app.config import Config


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer(dimensions=32) as started:
        yield started


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Writes a configuration with one pipeline whose embedder is on a server."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def write_it(server: FakeModelServer, *, quota: str = "", own: str = "") -> Config:
        file = tmp_path / "tenire.toml"
        file.write_text(
            f'[tenire]\nhome = "home"\n[quotas.main]\nbase_url = "{server.base_url}"\n{quota}\n'
            f'[pipelines.p]\nsource = "files"\nembedder = "openai:small"\nquota = "main"\n{own}\n'
        )
        return load_config(file)

    return write_it


def test_passages_are_embedded_by_the_server_once_and_found_by_its_vectors(
    tmp_path: Path, server: FakeModelServer, describe: Any
) -> None:
    for name, text in (("z", ZEBRAS), ("l", LEDGERS), ("v", VOLCANOES)):
        write(tmp_path / f"files/{name}.txt", text)
    price = "[quotas.main.price]\ninput_usd_per_mtok = 1000\noutput_usd_per_mtok = 0"
    config = describe(server, quota=price)
    progress = run_config(config).pipelines["p"]
    assert (progress.done, progress.chunks, progress.state) == (3, 3, "done")
    assert progress.calls >= 1
    assert progress.input_tokens > 10
    assert progress.cost_usd == pytest.approx(progress.input_tokens / 1000)
    assert verify(tmp_path / "home").ok

    # A search needs no configuration, and knows the very text again.
    calls = server.statistics().calls
    (hit,) = search(tmp_path / "home", LEDGERS, k=1, mode="vector").hits
    assert hit.text == LEDGERS
    assert server.statistics().calls <= calls + 1
    with Store(tmp_path / "home", embedder="openai:small") as store:
        assert store.search(ZEBRAS, k=1, mode="vector").hits[0].text == ZEBRAS

    calls = server.statistics().calls
    progress = run_config(config).pipelines["p"]
    assert (progress.unchanged, progress.calls) == (3, 0)
    assert server.statistics().calls == calls


def test_a_home_remembers_the_server_for_runs_that_name_none(
    tmp_path: Path, server: FakeModelServer, describe: Any
) -> None:
    write(tmp_path / "files/z.txt", ZEBRAS)
    bad = write(tmp_path / "files/bad.txt", "\0\1\2\3" * 50)
    run_config(describe(server))
    write(tmp_path / "more/l.txt", LEDGERS)
    report = run_config(ingest_config([str(tmp_path / "more")], home=tmp_path / "home"))
    assert report.pipelines["ingest"].chunks == 1
    bad.write_text(VOLCANOES)
    [entry] = failed(tmp_path / "home")
    again = retry(tmp_path / "home", [entry.id], all_=False).report
    assert again is not None
    assert again.pipelines["p"].done == 1
    assert verify(tmp_path / "home").documents == 3


def test_another_embedder_than_the_stores_is_refused(tmp_path: Path, server: FakeModelServer, describe: Any) -> None:
    write(tmp_path / "files/z.txt", ZEBRAS)
    run_config(describe(server))
    for other in ("static", "openai:large"):
        config = load_config(tmp_path / "tenire.toml")
        text = (tmp_path / "tenire.toml").read_text().replace("openai:small", other)
        (tmp_path / "other.toml").write_text(text)
        config = load_config(tmp_path / "other.toml")
        with pytest.raises(EmbedderMismatchError, match="openai:small/32"):
            run_config(config)
        with pytest.raises(EmbedderMismatchError, match="openai:small"):
            Store(tmp_path / "home", embedder=other)


def test_an_embedder_on_a_server_needs_to_be_told_where(tmp_path: Path) -> None:
    write(tmp_path / "files/z.txt", ZEBRAS)
    config = ingest_config([str(tmp_path / "files")], home=tmp_path / "home", embedder="openai:small")
    with pytest.raises(ConfigError, match="needs a quota, which says where its server is"):
        run_config(config)
    assert not (tmp_path / "home").exists()


def test_a_server_that_is_not_there_fails_its_pipeline_alone(
    tmp_path: Path, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "files/z.txt", ZEBRAS)
    with FakeModelServer(api_key="right") as strict:
        monkeypatch.setenv("WRONG_KEY", "wrong")
        report = run_config(describe(strict, quota='api_key_env = "WRONG_KEY"'))
    assert report.failed == ("p",)
    assert "401" in report.pipelines["p"].error


def test_a_search_does_not_wait_for_a_server_that_is_down(
    tmp_path: Path, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "files/z.txt", ZEBRAS)
    with FakeModelServer(dimensions=32) as server:
        run_config(describe(server))
    monkeypatch.setattr("tenire.app.remote_embedder._SEARCH_S", 0.5)
    port = int(server.base_url.rpartition(":")[2].partition("/")[0])
    with FakeModelServer(port=port, outages=[(0, 1e6)]), pytest.raises(CallTimeoutError) as caught:
        search(tmp_path / "home", "striped animals")
    assert "server up" in str(caught.value.hint)


@pytest.mark.parametrize("answer", ["400", "500", "drop"])
def test_passages_that_the_server_refuses_send_their_documents_alone_to_quarantine(
    tmp_path: Path, describe: Any, monkeypatch: pytest.MonkeyPatch, answer: Literal["400", "500", "drop"]
) -> None:
    hasty = partial(ChatClient, retry=Retry(attempts=2, backoff=0.01))
    monkeypatch.setattr("tenire.llm.client.ChatClient", hasty)
    for number in range(20):
        write(tmp_path / f"files/{number}.txt", f"{ZEBRAS} Number {number}.")
    bad = [str(write(tmp_path / f"files/bad {one}.txt", f"{VOLCANOES} Some cyanide, {one}.")) for one in range(2)]
    with FakeModelServer(dimensions=32, poison="cyanide", poison_answer=answer) as server:
        progress = run_config(describe(server)).pipelines["p"]
        assert (progress.seen, progress.done, progress.quarantined, progress.chunks) == (22, 20, 2, 20)
        entries = sorted(failed(tmp_path / "home"), key=lambda entry: entry.source)
        assert [(entry.source, entry.stage) for entry in entries] == [(one, "embed") for one in bad]
        assert all(answer.replace("drop", "closed without an answer") in entry.error for entry in entries)
        progress = run_config(describe(server)).pipelines["p"]
        assert (progress.unchanged, progress.quarantined, progress.calls) == (20, 2, 0)
