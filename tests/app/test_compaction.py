from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.app.compaction import compact
from tenire.app.inspect import verify
from tenire.app.place import open_recorded_store
from tenire.app.search import Store
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import HomeBusyError, StoreError
from tenire.pipeline.home_session import HomeSession
from tenire.storage.home import Home
from tenire.vectors import maintenance

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

    Ingest = Callable[..., RunReport]


def test_a_home_gets_smaller_and_says_the_same(tmp_path: Path, ingest: Ingest) -> None:
    for n in range(12):
        write(tmp_path / "files/changing.txt", f"{ZEBRAS} Edition {n}. {VOLCANOES}")
        write(tmp_path / "files/ledgers.txt", LEDGERS)
        ingest(tmp_path / "files")
    with Store(tmp_path / "home") as store:
        before = [hit.text for hit in store.search("zebras and ledgers").hits]
        done = compact(tmp_path / "home")
        assert [hit.text for hit in store.search("zebras and ledgers").hits] == before
    assert done.after_bytes < done.before_bytes
    assert done.after_bytes == done.as_json()["after_bytes"]
    assert (done.chunks, done.indexed) == (2, 0)
    assert verify(tmp_path / "home").ok
    assert len(list((tmp_path / "home/store/passages.lance/_versions").iterdir())) <= 2


def test_the_index_is_built_where_it_is_wanted(tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path / "files/many.txt", "\n\n".join(f"{ZEBRAS} Number {n}. {VOLCANOES} {LEDGERS}" * 3 for n in range(300))
    )
    ingest(tmp_path / "files")
    monkeypatch.setattr(maintenance, "_INDEX_ROWS_IDLE", 256)
    done = compact(tmp_path / "home")
    assert done.indexed == done.chunks >= 256


def test_a_home_without_documents_is_tidied_too(tmp_path: Path, ingest: Ingest) -> None:
    (tmp_path / "files").mkdir()
    ingest(tmp_path / "files")
    assert compact(tmp_path / "home").chunks == 0


def test_what_is_no_home_or_is_in_use_is_refused(tmp_path: Path, ingest: Ingest) -> None:
    with pytest.raises(StoreError):
        compact(tmp_path / "nowhere")
    write(tmp_path / "files/zebras.txt", ZEBRAS)
    ingest(tmp_path / "files")
    busy = HomeSession(
        Home(tmp_path / "home"), lambda: open_recorded_store(Home(tmp_path / "home")), clock=SYSTEM_CLOCK
    )
    with busy, pytest.raises(HomeBusyError):
        compact(tmp_path / "home")
