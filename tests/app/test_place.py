from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from tenire.app import place
from tenire.app.config import ingest_config
from tenire.app.place import choose_place, recorded_place, require_documents_extra
from tenire.app.runs import run_config
from tenire.errors import ConfigError, EmbedderMismatchError, MissingExtraError, StoreError
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, DocumentRow, DoneSource
from tenire.vectors.embedding import embedder_identity

from .conftest import ZEBRAS, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def decide(home: Home, *, store: str = "lancedb", embedder: str = "static") -> place.Place:
    """Decide, record, and pretend that the store was made."""
    chosen = choose_place(home, store=store, embedder=embedder)
    with Ledger.open(home) as ledger:
        chosen.record(ledger)
    chosen.store.mkdir(parents=True, exist_ok=True)
    dimension = int(chosen.identity.rpartition("/")[2])
    facts = {"embedder": chosen.identity, "dimension": dimension, "format": 1}
    (chosen.store / "format.json").write_bytes(msgspec.json.encode(facts))
    return chosen


def fill(home: Home, passages: int = 1) -> None:
    source = DoneSource("/a", 1, 1, "hash", "d", racy=False)
    with Ledger.open(home) as ledger:
        ledger.batches.apply(Change("p", "r", done=(source,), add=(DocumentRow("d", passages, 1, ""),)))


def test_deciding_touches_nothing(home: Home) -> None:
    chosen = choose_place(home, store="lancedb", embedder="static")
    assert (chosen.store, chosen.embedder) == (home.store_path, "static")
    assert chosen.identity == embedder_identity("static")
    assert not home.path.exists()


def test_a_home_keeps_its_store_and_its_embedder(home: Home, tmp_path: Path) -> None:
    decide(home, store=str(tmp_path / "elsewhere"))
    fill(home)
    again = choose_place(home, store="lancedb", embedder="auto")
    assert (again.store, again.embedder) == (tmp_path / "elsewhere", "static")
    assert recorded_place(home) == (tmp_path / "elsewhere", "static")


def test_another_store_is_refused_once_there_are_documents(home: Home, tmp_path: Path) -> None:
    decide(home)
    fill(home)
    with pytest.raises(ConfigError, match="keeps its passages in"):
        choose_place(home, store=str(tmp_path / "elsewhere"), embedder="auto")


def test_as_long_as_nothing_is_stored_a_later_decision_replaces_the_first(home: Home, tmp_path: Path) -> None:
    decide(home)
    decide(home, store=str(tmp_path / "elsewhere"))
    fill(home)
    assert recorded_place(home)[0] == tmp_path / "elsewhere"


def test_another_embedder_is_refused_with_both_names(home: Home) -> None:
    decide(home)
    fill(home)
    with pytest.raises(EmbedderMismatchError) as caught:
        choose_place(home, store="lancedb", embedder="minilm")
    assert (caught.value.stored, caught.value.asked) == (embedder_identity("static"), embedder_identity("minilm"))


def test_a_store_that_is_gone_is_told_and_not_made_again(home: Home) -> None:
    chosen = decide(home)
    fill(home, passages=2)
    shutil.rmtree(chosen.store)
    with pytest.raises(StoreError, match="is gone, but the ledger lists 2 passages in it") as caught:
        choose_place(home, store="lancedb", embedder="auto")
    assert "tenire verify --repair" in (caught.value.hint or "")


def test_a_moved_home_takes_its_own_store_along(home: Home, tmp_path: Path) -> None:
    decide(home)
    fill(home)
    moved = Home(shutil.move(home.path, tmp_path / "moved"))
    assert recorded_place(moved) == (moved.store_path, "static")
    assert choose_place(moved, store="lancedb", embedder="auto").store == moved.store_path


def test_a_copy_of_a_home_never_writes_to_the_original(home: Home, tmp_path: Path) -> None:
    decide(home)
    fill(home)
    copy = Home(shutil.copytree(home.path, tmp_path / "copy"))
    assert choose_place(copy, store="lancedb", embedder="auto").store == copy.store_path


def test_a_home_that_holds_nothing_says_what_to_run(home: Home) -> None:
    with pytest.raises(StoreError, match="no home"):
        recorded_place(home)
    with Ledger.open(home):
        pass
    with pytest.raises(StoreError, match="holds no documents yet") as caught:
        recorded_place(home)
    assert caught.value.hint == "run: tenire ingest PATH"


def test_everything_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_documents_extra()
    monkeypatch.setattr(place, "_NEEDED", ("json", "no_such_package", "nor_this_one"))
    with pytest.raises(MissingExtraError, match="no_such_package, nor_this_one") as caught:
        require_documents_extra()
    assert caught.value.extra == "data"


def test_a_store_outside_belongs_to_one_home_wherever_that_moves(tmp_path: Path) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)

    def ingest(home: Path) -> int:
        config = ingest_config([str(tmp_path / "files")], home=home, store=str(tmp_path / "outside"), embedder="static")
        return run_config(config).pipelines["ingest"].seen

    assert ingest(tmp_path / "one") == 1
    with pytest.raises(ConfigError, match="belongs to another home"):
        ingest(tmp_path / "two")
    assert not (tmp_path / "two").exists()
    shutil.move(tmp_path / "one", tmp_path / "moved")
    assert ingest(tmp_path / "moved") == 1
