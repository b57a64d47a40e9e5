"""Imports LanceDB in half of its usual time.

``import lancedb`` also executes a client for a REST service that a local store never
talks to; making its classes is more than half of the whole import (0.6 of 1.1 s). Here
that client's package stands ready but is executed only when something asks for a name
of it. Nothing is taken away: whoever uses the client gets it, at that moment.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import types
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.observe.heap import keep_heap_small

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["awaited", "import_lancedb"]

Result = TypeVar("Result")

_CLIENT = "lance_namespace_urllib3_client"
_LOCK = threading.Lock()


class _ExecutedOnDemand(types.ModuleType):
    """A package whose ``__init__`` runs when the first name is asked for that it lacks."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = types.ModuleType  # type: ignore[assignment]  # from here on an ordinary module
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(self)
        return getattr(self, name)


def import_lancedb() -> Any:
    """Import LanceDB and return it.

    Raises:
        ImportError: If it is not installed.
    """
    with _LOCK:
        if "lancedb" not in sys.modules and _CLIENT not in sys.modules:
            spec = importlib.util.find_spec(_CLIENT)
            if spec is not None:
                module = importlib.util.module_from_spec(spec)
                module.__class__ = _ExecutedOnDemand
                sys.modules[_CLIENT] = module
    # Facts on an index are asked for often; its centroids are none of them, and are large. Lance reads this once,
    # and warns on stderr where it is not said.
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
    # So much is read ahead of what is used; by default 2 GiB. Where pieces are joined, that is a copy of them all.
    os.environ.setdefault("LANCE_DEFAULT_IO_BUFFER_SIZE", str(8 << 20))
    # What Lance warns of, on stderr and so into the display, is for who tunes it by hand: passages that are all alike
    # leave parts of an index empty.
    os.environ.setdefault("LANCEDB_LOG", "error")
    if "lancedb" not in sys.modules:
        keep_heap_small()  # before its threads begin
    import lancedb

    return lancedb


def awaited(work: Coroutine[Any, Any, Result]) -> Result:
    """Wait for something asynchronous of LanceDB, on the loop of its blocking calls, and return what it does.

    One of those blocking calls goes to that loop and back several times, for a query of vectors
    five times. That takes 1.5 ms, where the query itself takes 6.
    """
    loop: Any = importlib.import_module("lancedb.background_loop").LOOP
    result: Result = loop.run(work)
    return result
