from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.errors import EmbedderMismatchError, StoreError

from .conftest import DIMENSION, Maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.vectors.embedder_upgrade import EmbedderUpgrade
    from tenire.vectors.store import LanceStore

    Open = Callable[..., LanceStore]
    Reopen = Callable[[], LanceStore]

WIDE = Maker(dimension=48)
TEXTS = [f"passage {n} of zebras and ledgers" for n in range(30)]


@pytest.fixture
def store(open_store: Open, make: Maker) -> LanceStore:
    store = open_store()
    for n, text in enumerate(TEXTS):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", text, f"{text} again")))
    return store


@pytest.fixture
def reopened(open_store: Open) -> Reopen:
    return lambda: open_store(dimension=None, embedder=None, create=False)


def upgrade_of(store: LanceStore) -> EmbedderUpgrade:
    return store.upgrade(dimension=WIDE.dimension, embedder="wide")


def finish(upgrade: EmbedderUpgrade, at_most: int = 100) -> int:
    """Embed what is left; return how many texts that were."""
    done = 0
    while at_most and (texts := upgrade.texts()):
        upgrade.add(np.stack([WIDE.vector(text) for text in texts]))
        done += len(texts)
        at_most -= 1
    return done


def test_a_store_goes_over_to_another_embedder_in_one_step(store: LanceStore, reopened: Reopen, make: Maker) -> None:
    reader = reopened()
    upgrade = upgrade_of(store)
    assert upgrade.begin() == 2 * len(TEXTS)
    assert finish(upgrade) == 2 * len(TEXTS)
    # Until the switch, nothing is different.
    assert reader.search(TEXTS[7], make.vector(TEXTS[7]), k=1, mode="vector")[0].text == TEXTS[7]
    upgrade.switch()
    assert (store.embedder, store.dimension) == ("wide", WIDE.dimension)
    assert reader.refresh()
    assert not reader.refresh()
    for each in (store, reader, reopened()):
        assert each.search(TEXTS[7], WIDE.vector(TEXTS[7]), k=1, mode="hybrid")[0].text == TEXTS[7]
        assert each.search("zebras", None, k=3, mode="text")
        with pytest.raises(EmbedderMismatchError):
            each.search("zebras", make.vector("zebras"), k=1, mode="vector")
    check = store.check()
    assert (len(check.passages), check.duplicates, check.details) == (len(TEXTS), 0, ())


def test_the_old_vectors_leave_the_disk_and_the_store_goes_on(store: LanceStore) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    upgrade.switch()
    assert [path.name for path in store.path.glob("*.lance")] == ["passages-2.lance"]
    assert not (store.path / "upgrade.json").exists()
    store.commit(WIDE.batch("new", WIDE.document("new", "a new passage"), remove=("d3",)))
    assert store.has_batch("b0")
    found = [hit.document for hit in store.search("passage", WIDE.vector("passage"), k=100, mode="text")]
    assert "new" in found
    assert "d3" not in found
    back = store.upgrade(dimension=DIMENSION, embedder="bag")
    back.begin()
    while texts := back.texts():
        back.add(np.stack([Maker().vector(text) for text in texts]))
    back.switch()
    assert store.embedder == "bag"
    assert store.check().details == ()


def test_an_upgrade_that_was_cut_off_goes_on_where_it_was(
    store: LanceStore, reopened: Reopen, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenire.vectors.embedder_upgrade._AT_ONCE", 16)
    first = upgrade_of(store)
    first.begin()
    assert finish(first, at_most=2) == 32
    with pytest.raises(StoreError, match="changed while"):
        first.switch()
    # Meanwhile the store is used as it is.
    store.commit(make.batch("more", make.document("more", "one more passage")))
    again = upgrade_of(reopened())
    assert again.begin() == 2 * len(TEXTS) - 32 + 1
    finish(again)
    again.switch()
    assert store.refresh()
    assert store.search("one more passage", WIDE.vector("one more passage"), k=1, mode="vector")[0].document == "more"


def test_an_upgrade_begins_anew_where_passages_have_left(store: LanceStore, make: Maker) -> None:
    first = upgrade_of(store)
    first.begin()
    finish(first)
    store.commit(make.batch("less", remove=("d1",)))
    with pytest.raises(StoreError, match="changed while"):
        first.switch()
    again = upgrade_of(store)
    assert again.begin() == 2 * len(TEXTS) - 2
    finish(again)
    again.switch()
    assert store.check().details == ()


def test_an_upgrade_to_a_third_embedder_forgets_the_unfinished_one(store: LanceStore) -> None:
    first = upgrade_of(store)
    first.begin()
    finish(first, at_most=1)
    other = store.upgrade(dimension=8, embedder="third")
    assert other.begin() == 2 * len(TEXTS)
    while texts := other.texts():
        other.add(np.ones((len(texts), 8), np.float32))
    other.switch()
    assert store.embedder == "third"
    assert len(list(store.path.glob("*.lance"))) == 1


@pytest.mark.parametrize("step", ["format", "words", "note", "drop"])
def test_a_kill_at_the_switch_leaves_one_store_or_the_other(
    store: LanceStore, reopened: Reopen, make: Maker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    with monkeypatch.context() as patched:
        if step == "format":
            patched.setattr("tenire.vectors.embedder_upgrade.write_format", kill)
        elif step == "words":
            patched.setattr(upgrade._words, "apply", kill)
        elif step == "note":
            patched.setattr("pathlib.Path.unlink", kill)
        else:
            patched.setattr(upgrade._old, "drop", kill)
        with pytest.raises(Killed):
            upgrade.switch()
    after = reopened()
    maker = make if step == "format" else WIDE
    assert after.embedder == ("bag" if step == "format" else "wide")
    for mode in ("vector", "text", "hybrid"):
        assert after.search(TEXTS[4], maker.vector(TEXTS[4]), k=1, mode=mode)[0].text == TEXTS[4]
    after.commit(maker.batch("next", maker.document("next", "the next passage")))
    assert after.search("the next passage", None, k=1, mode="text")[0].document == "next"
    after.optimise(idle=True)
    assert after.check().details == ()
    if step == "format":
        again = upgrade_of(after)
        assert again.begin() == 1
    else:
        assert [path.name for path in store.path.glob("*.lance")] == ["passages-2.lance"]
        assert not (store.path / "upgrade.json").exists()


def test_vectors_that_do_not_fit_are_refused(store: LanceStore) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    texts = upgrade.texts()
    with pytest.raises(ValueError, match="vectors of shape"):
        upgrade.add(np.ones((len(texts), 3), np.float32))


def test_an_empty_store_switches_at_once(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    upgrade = upgrade_of(store)
    assert upgrade.begin() == 0
    assert upgrade.texts() == []
    upgrade.switch()
    store.commit(WIDE.batch("b1", WIDE.document("d1", "a passage")))
    assert store.search("passage", WIDE.vector("passage"), k=1, mode="hybrid")[0].document == "d1"
