"""A store goes over to another embedder, from configuration to search."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tenire.app.config import ingest_config
from tenire.app.inspect import verify
from tenire.app.place import EMBEDDER_KEY, UPGRADE_KEY, choose_place
from tenire.app.runs import run_config
from tenire.app.search import Store
from tenire.app.stores import built_at, place_of
from tenire.errors import ConfigError, EmbedderMismatchError, StoreError
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.vectors import minilm
from tenire.vectors.embedder_upgrade import EmbedderUpgrade
from tenire.vectors.postgres.embedder_upgrade import ServerUpgrade
from tenire.vectors.weights import find_minilm

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

pytestmark = pytest.mark.skipif(find_minilm() is None, reason="needs the weights of MiniLM")


@pytest.fixture(params=["lancedb", "postgresql"])
def where(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> str:
    """Where passages go: the home's own directory, and then a server."""
    return new_database() if request.param == "postgresql" else "lancedb"


@pytest.fixture
def base(tmp_path: Path, where: str) -> Path:
    for name, text in (("zebras", ZEBRAS), ("ledgers", LEDGERS), ("volcanoes", VOLCANOES)):
        write(tmp_path / f"files/{name}.txt", text)
    run(tmp_path, "static", store=where)
    return tmp_path


def run(base: Path, embedder: str, *, upgrade: bool = False, store: str = "lancedb") -> RunReport:
    """Ingest; the store is the home's own, once there is one."""
    config = ingest_config([str(base / "files")], home=base / "home", embedder=embedder, store=store)
    return run_config(replace(config, upgrade_embedder=upgrade))


def best(store: Store, mode: str = "vector") -> str:
    return store.search("animals of the savannah", mode=mode, k=1).hits[0].text


def test_another_embedder_is_refused_unless_it_is_asked_for(base: Path) -> None:
    with pytest.raises(EmbedderMismatchError) as caught:
        run(base, "minilm")
    assert "--upgrade-embedder" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="on a server"):
        choose_place(Home(base / "home"), store="lancedb", embedder="openai:m", upgrade=True)


def test_a_store_goes_over_while_it_is_open_for_searches(base: Path, where: str) -> None:
    with Store(base / "home") as store:
        assert best(store) == ZEBRAS
        report = run(base, "minilm", upgrade=True)
        assert not report.failed
        assert best(store) == ZEBRAS
        assert len(store.search("payment", mode="hybrid", k=9).hits) == 3
        with pytest.raises(EmbedderMismatchError):
            Store(base / "home", embedder="static")
    with Store(base / "home", embedder="minilm") as store:
        assert best(store) == ZEBRAS
    built = built_at(base / "home/store" if where == "lancedb" else place_of(where))
    assert built is not None
    assert built.embedder == minilm.IDENTITY
    # From now on it is the home's own, and asking again changes nothing.
    assert run(base, "auto").pipelines["ingest"].unchanged == 3
    assert run(base, "minilm", upgrade=True).pipelines["ingest"].unchanged == 3


def test_an_engine_that_was_killed_after_the_switch_left_a_whole_home(
    base: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = EmbedderUpgrade if where == "lancedb" else ServerUpgrade
    switch = kind.switch

    def killed(upgrade: Any) -> None:
        switch(upgrade)
        raise StoreError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(kind, "switch", killed)
        with pytest.raises(StoreError, match="killed here"):
            run(base, "minilm", upgrade=True)
    with Ledger.read(Home(base / "home")) as ledger:
        assert ledger.setting(EMBEDDER_KEY) == "static"
        assert json.loads(ledger.setting(UPGRADE_KEY) or "{}")["identity"] == minilm.IDENTITY
    with Store(base / "home") as store:
        assert best(store) == ZEBRAS
    # What a passage may hold depends on the embedder, so the files are read again.
    assert run(base, "auto").pipelines["ingest"].done == 3
    with Ledger.read(Home(base / "home")) as ledger:
        assert ledger.setting(EMBEDDER_KEY) == "minilm"


def test_a_new_home_has_nothing_to_go_over_from(tmp_path: Path) -> None:
    write(tmp_path / "files/zebras.txt", ZEBRAS)
    assert run(tmp_path, "static", upgrade=True).pipelines["ingest"].done == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from msgspec.structs import replace
from tenire.app.config import ingest_config
from tenire.app.runs import run_config
from tenire.vectors import embedder_upgrade
from tenire.vectors.postgres import embedder_upgrade as on_a_server

embedder_upgrade._AT_ONCE = on_a_server._AT_ONCE = 1
kind = embedder_upgrade.EmbedderUpgrade if sys.argv[3] == "lancedb" else on_a_server.ServerUpgrade
add = kind.add
done = []

def add_and_die(upgrade, vectors):
    add(upgrade, vectors)
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

kind.add = add_and_die
if __name__ == "__main__":
    base = Path(sys.argv[1])
    config = ingest_config([str(base / "files")], home=base / "home", embedder="minilm")
    run_config(replace(config, upgrade_embedder=True))
"""


@pytest.mark.slow
def test_an_upgrade_that_was_killed_goes_on(base: Path, where: str, request: pytest.FixtureRequest) -> None:
    script = base / "upgrade.py"
    script.write_text(_KILLED)
    process = subprocess.run([sys.executable, str(script), str(base), str(request.path.parent), where], check=False)
    assert process.returncode == -signal.SIGKILL
    with Store(base / "home", embedder="static") as store:
        assert best(store) == ZEBRAS
        report = run(base, "minilm", upgrade=True)
        assert not report.failed
        assert best(store) == ZEBRAS
    assert verify(base / "home").ok
    if where == "lancedb":
        assert [path.name for path in (base / "home/store").glob("*.lance")] == ["passages-2.lance"]
