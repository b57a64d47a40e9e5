"""Training rows whose vectors cost money: each text is asked for once, though the home keeps no replies."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.config import load_config
from tenire.app.runs import run_config
from tenire.core.tasks import Retry
from tenire.llm.books import Books
from tenire.llm.client import ChatClient
from tenire.ml import ModelRegistry
from tenire.ml.training import Training
from tenire.pipeline.run_tasks import RunTasks
from tenire.testing import FakeModelServer

from .labelled import made_up, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.pipeline.progress import PipelineProgress

pytest.importorskip("sklearn")

ROWS = made_up(600, seed=1)  # in three parts
BAD: list[dict[str, Any]] = [{"id": f"bad {one}", "text": f"cyanide {one}", "label": "money"} for one in range(3)]
POISONED = [BAD[0], *ROWS[:300], BAD[1], *ROWS[300:], BAD[2]]


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that keeps no replies: what is asked for a second time is paid for a second time."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("tenire.llm.books.Books", partial(Books, reply_bytes=0))
    monkeypatch.setattr("tenire.app.model_calls._MEMORY_BYTES", 1)
    monkeypatch.setattr("tenire.llm.client.ChatClient", partial(ChatClient, retry=Retry(attempts=2, backoff=0.01)))


class Server(FakeModelServer):
    """Counts how often it gave a vector of each text."""

    def __init__(self, **settings: Any) -> None:
        self.given: Counter[str] = Counter()
        super().__init__(poison=self._poisoned, poison_answer="400", **settings)

    def _poisoned(self, prompt: str) -> bool:
        if "cyanide" in prompt:
            return True
        self.given.update(prompt.split("\n"))
        return False


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(dimensions=32) as started:
        yield started


def described(path: Path, server: Server, rows: list[dict[str, Any]], home: str = "home", model: str = "small") -> Path:
    """Write rows to learn from, and the configuration of a training with a server's vectors."""
    put(path / "train.jsonl", rows)
    file = path / "tenire.toml"
    file.write_text(
        f'[tenire]\nhome = "{home}"\n[quotas.main]\nbase_url = "{server.base_url}"\n[pipelines.topics]\n'
        f'recipe = "classify"\ntrain = "train.jsonl"\nembedder = "openai:{model}"\nquota = "main"\nseed = 1\n'
    )
    return file


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., PipelineProgress]:
    """Learns from rows."""

    def run(*args: Any, **options: Any) -> PipelineProgress:
        return run_config(load_config(described(tmp_path, *args, **options))).pipelines["topics"]

    return run


class BrokenError(Exception):
    """Ends a run where a kill could."""


@contextmanager
def broken_before(step: str, times: int = 1) -> Iterator[None]:
    """End runs before they do a step of a training so often; ``again`` is the second look at the rows."""
    done = looks = 0

    def surveyed(self: Training, run: Any) -> Any:
        nonlocal looks
        looks += 1
        if step == "again" and looks > 1:
            raise BrokenError
        return look(self, run)

    def submit(self: RunTasks, fn: Any, *args: Any, **options: Any) -> Any:
        nonlocal done
        done += options["step"] == step
        if done == times:
            raise BrokenError
        return submitted(self, fn, *args, **options)

    look, submitted = Training._surveyed, RunTasks.submit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_surveyed", surveyed)
        patch.setattr(RunTasks, "submit", submit)
        yield


def head(home: Path) -> tuple[str, bytes]:
    """Return what the only model of a home is, once nothing else is left of its training."""
    assert list((home / "cache" / "training" / "topics").iterdir()) == []
    [version] = ModelRegistry(home).versions("topics")
    return version.label, version.read("head.npz")


def once(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["text"]: 1 for row in rows}


def done(progress: PipelineProgress, *, bad: int = 3) -> PipelineProgress:
    assert progress.state == "done", progress.error
    assert (progress.quarantined, progress.cached_calls) == (bad, 0)
    assert all(stage.waiting == stage.running == 0 for stage in progress.stages)
    return progress


def test_good_rows_are_asked_for_once_where_others_have_no_vector(tmp_path: Path, server: Server, train: Any) -> None:
    assert done(train(server, POISONED)).stages[0].done == 600
    assert server.given == once(ROWS)
    done(train(server, ROWS, home="other"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


def test_rows_far_apart_with_one_text_are_asked_for_once(tmp_path: Path, server: Server, train: Any) -> None:
    copies = [row | {"id": f"copy of {row['id']}"} for row in ROWS[:20]]
    assert done(train(server, [*ROWS, *copies]), bad=0).stages[0].done == 620
    assert server.given == once(ROWS)


@pytest.mark.parametrize("step", ["again", "join", "train"])
def test_an_interrupted_run_that_goes_on_asks_for_nothing_twice(
    tmp_path: Path, server: Server, train: Any, step: str
) -> None:
    with broken_before(step):
        assert train(server, POISONED).state == "failed"
    assert server.given == once(ROWS)
    done(train(server, POISONED))
    assert server.given == once(ROWS)
    server.given.clear()
    done(train(server, ROWS, home="other"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


def test_interrupted_in_the_first_look_it_asks_for_the_rest(
    server: Server, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenire.ml.training._AT_ONCE", 1)
    with broken_before("embed", times=3):
        assert train(server, POISONED).state == "failed"
    assert len(server.given) == 2 * 255
    done(train(server, POISONED))
    assert server.given == once(ROWS)


@pytest.mark.parametrize("step", ["again", "join", "train"])
def test_rows_that_have_changed_meanwhile_are_asked_for_alone(
    tmp_path: Path, server: Server, train: Any, step: str
) -> None:
    with broken_before(step):
        train(server, POISONED)
    rows = [*made_up(40, seed=2, start=1000), *ROWS[:10:-1], {**BAD[0], "id": "bad"}]
    done(train(server, rows), bad=1)
    assert server.given == once([*ROWS, *rows[:40]])
    done(train(server, rows[:-1], home="other"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


def test_vectors_of_another_embedder_are_not_taken(tmp_path: Path, server: Server, train: Any) -> None:
    with broken_before("again"):
        train(server, POISONED)
    done(train(server, POISONED, model="large"))
    assert set(server.given.values()) == {2}
    done(train(server, ROWS, home="other", model="large"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


def test_vectors_of_a_server_that_gives_others_now_are_not_taken(tmp_path: Path, server: Server, train: Any) -> None:
    rows = [*POISONED, *made_up(1, seed=2, start=1000)]
    with broken_before("again"):
        train(server, POISONED)
    server.stop()
    with Server(dimensions=48, port=int(server.base_url.rpartition(":")[2].partition("/")[0])) as other:
        progress = train(other, rows)
        assert progress.state == "failed"
        assert "gives vectors of another length than before" in progress.error
        done(train(other, rows))
        assert other.given == {**once(ROWS), rows[-1]["text"]: 2}
        done(train(other, [*ROWS, rows[-1]], home="other"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


def test_files_that_are_damaged_are_asked_for_anew(tmp_path: Path, server: Server, train: Any) -> None:
    with broken_before("join"):
        train(server, POISONED)
    kept = sorted((tmp_path / "home" / "cache" / "training" / "topics").glob("vectors-*/*.npz"))
    assert len(kept) == 3
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    kept[1].write_bytes(b"")
    done(train(server, POISONED))
    assert sum(server.given.values()) == 600 + 2 * 255
    done(train(server, ROWS, home="other"), bad=0)
    assert head(tmp_path / "home") == head(tmp_path / "other")


ENGINE = """
import os, signal, sys
from functools import partial
from pathlib import Path
from tenire.app import model_calls
from tenire.app.config import load_config
from tenire.app.runs import run_config
from tenire.llm import books
from tenire.ml.training import Training
from tenire.pipeline.run_tasks import RunTasks

look, looks = Training._surveyed, 0

def surveyed(self, run):
    global looks
    looks += 1
    if looks > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return look(self, run)

if __name__ == "__main__":
    books.Books, model_calls._MEMORY_BYTES = partial(books.Books, reply_bytes=0), 1
    Training._surveyed = surveyed
    run_config(load_config(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_between_the_looks_it_asks_for_nothing_twice(tmp_path: Path, server: Server, train: Any) -> None:
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    killed = subprocess.run(
        [sys.executable, str(script), str(described(tmp_path, server, POISONED))],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, check=False, timeout=240,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert server.given == once(ROWS)
    done(train(server, POISONED))
    assert server.given == once(ROWS)
    assert head(tmp_path / "home")
