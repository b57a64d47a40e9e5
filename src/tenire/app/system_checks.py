"""Checks of what the operating system gives, and of what would be of use besides."""

from __future__ import annotations

import locale
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.app.diagnosis import Check
from tenire.app.published import read_published
from tenire.errors import MissingExtraError, StoreError
from tenire.observe.power import HeatMeter
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.scratch import shared_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["chromium", "descriptors", "engine_and_ledger", "extras", "gpu", "heat", "shared_memory", "terminal"]

_MIB = 1 << 20
_LITTLE_SHARED = 256 * _MIB
_FEW_DESCRIPTORS = 1024
_EXTRAS = {
    "data": ("lancedb", "openvino"),
    "llm": ("aiohttp", "jsonschema"),
    "local-llm": ("aiohttp", "xllamacpp"),
    "gui": ("PySide6-Essentials",),
    "dashboard": ("starlette", "uvicorn"),
    "top": ("textual",),
    "browser": ("aiohttp", "playwright"),
    "ml": ("scikit-learn",),
    "ray": ("ray",),
    "postgres": ("psycopg",),
    "telemetry": ("opentelemetry-api",),
}
"""A package or two by which each extra is known."""


def engine_and_ledger(home: Path) -> Iterator[Check]:
    """Look who runs on a home, and whether its ledger can be read."""
    place = Home(home)
    pid = place.owner()
    if pid is not None:
        found = f"one runs on this home (pid {pid}); a second one would be refused"
        yield _ailing(place, found) or Check("engine", "ok", found)
    try:
        if not Ledger.exists(place):
            return
        Ledger.read(place).close()
    except StoreError as error:
        yield Check("ledger", "missing", str(error), error.hint or "run: tenire verify")
    else:
        yield Check("ledger", "ok", "can be read")


def _ailing(home: Home, found: str) -> Check | None:
    """Return what to do about components of the running engine that are not well."""
    published = read_published(home)
    ill = {} if published is None else {n: it for n, it in published.components.items() if it.health != "healthy"}
    if not ill:
        return None
    how = [f"component {name} is {it.health}" + (f" ({it.error})" if it.error else "") for name, it in ill.items()]
    if any(it.health == "failed" for it in ill.values()):
        remedy = "end that command and start it again; what is finished is kept"
    else:
        remedy = "it is started again by itself; if that goes on, look whether the home's disk answers"
    return Check("engine", "warn", f"{found}; {'; '.join(how)}", remedy)


def shared_memory(base: Path | None = None) -> Check:
    """Look at what worker processes can share without a copy.

    Args:
        base: Where files are memory; default: the system's place.
    """
    base = base or shared_base()
    name = "shared memory"
    if base is None:
        return Check(name, "ok", "this system has none with names; data for workers goes through files on disk")
    try:
        space = shutil.disk_usage(base)
    except OSError as error:
        remedy = f"mount a tmpfs at {base}; until then data for workers goes through files on disk"
        return Check(name, "warn", f"{base} cannot be used: {error.strerror}", remedy)
    found = f"{space.free / _MIB:,.0f} MiB free in {base}"
    if space.total < _LITTLE_SHARED:
        remedy = "give a container more of it, for example: docker run --shm-size=1g; until then files on disk are used"
        return Check(name, "warn", found, remedy)
    return Check(name, "ok", found)


def descriptors() -> Check:
    """Look at how many files and sockets this process may have open."""
    name = "open files"
    try:
        import resource
    except ModuleNotFoundError:
        return Check(name, "ok", "no limit that matters on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Check(name, "ok", "no limit")
    found = f"{soft:,} at the most"
    if soft < _FEW_DESCRIPTORS:
        more = _FEW_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, 4 * _FEW_DESCRIPTORS)
        if more > soft:
            return Check(name, "warn", found, f"run first: ulimit -n {more}")
        return Check(name, "warn", found, "have the system's administrator raise the limit for open files")
    return Check(name, "ok", found)


def terminal(encoding: str | None = None) -> Check:
    """Look at whether texts of any language can be shown and read.

    Args:
        encoding: Of standard output; default: what it is.
    """
    encoding = encoding or getattr(sys.stdout, "encoding", None) or locale.getpreferredencoding(do_setlocale=False)
    if encoding.lower().replace("-", "") == "utf8":
        return Check("terminal", "ok", f"shows {encoding.upper()}")
    remedy = "set PYTHONUTF8=1, or a locale that ends with .UTF-8"
    return Check("terminal", "warn", f"shows {encoding} only; other letters come out as '?'", remedy)


def heat() -> Iterator[Check]:
    """Look at whether the system shows how hot it is; nothing is said where nothing can be seen."""
    share = HeatMeter().sample()
    if share is None:
        return
    found = f"{share:.0%} of the temperature at which the machine slows itself down"
    if share >= 1:
        yield Check("heat", "warn", found, "let it cool down; until then Tenire does less")
    else:
        yield Check("heat", "ok", found)


def gpu(version: Callable[[str], str | None], devices: Path = Path("/dev")) -> Check:
    """Look for a graphics processor.

    Args:
        version: Returns the version of a package, or ``None``.
        devices: Where the system shows them.
    """
    kinds = {"NVIDIA": "nvidia[0-9]*", "AMD": "kfd", "graphics": "dri/renderD*"}
    found = [kind for kind, pattern in kinds.items() if any(devices.glob(pattern))]
    if not found:
        return Check("gpu", "ok", "none found; nothing here needs one")
    said = f"{' and '.join(found)} device; embedders compute on the processor all the same"
    if "NVIDIA" not in found:
        return Check("gpu", "ok", said)
    runtime = version("onnxruntime-gpu")
    if runtime is None:
        return Check(
            "gpu", "ok", said, "for models of your own in ONNX to compute there, run: pip install onnxruntime-gpu"
        )
    return Check("gpu", "ok", f"{said}, models of your own in ONNX there (onnxruntime-gpu {runtime})")


def chromium(version: Callable[[str], str | None]) -> Iterator[Check]:
    """Look for the browser that renders web pages; nothing is said where nobody installed what asks it.

    Args:
        version: Returns the version of a package, or ``None``.
    """
    playwright = version("playwright")
    if playwright is None:
        return
    from tenire.browser.chromium import find_chromium  # with the rest of its room, which takes a while

    try:
        found = find_chromium()
    except MissingExtraError as error:
        yield Check("browser", "warn", str(error), error.hint)
    else:
        yield Check("browser", "ok", f"playwright {playwright}, {found}")


def extras(version: Callable[[str], str | None]) -> Check:
    """Look which extras are installed.

    Args:
        version: Returns the version of a package, or ``None``.
    """
    there = [name for name, packages in _EXTRAS.items() if all(map(version, packages))]
    absent = [name for name in _EXTRAS if name not in there]
    parts = [f"installed: {', '.join(there)}"] if there else []
    if not absent:
        return Check("extras", "ok", *parts)
    parts.append(f"not installed: {', '.join(absent)}")
    return Check("extras", "ok", "; ".join(parts), 'to add one, run: pip install "tenire[NAME]"')
