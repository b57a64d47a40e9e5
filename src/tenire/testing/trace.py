"""What a virtual loop did, as a digest that is equal for equal runs."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import NamedTuple

__all__ = ["Trace", "TraceEvent"]


class TraceEvent(NamedTuple):
    """One step of a virtual loop.

    Attributes:
        time_ns: Virtual time, nanoseconds.
        kind: ``run`` (a callback or a task's step), ``timer`` (the same, woken by
            a timer), ``submit``, ``finish`` (fake executors) or ``note``.
        label: The task's name, or the callback's qualified name.
    """

    time_ns: int
    kind: str
    label: str


class Trace:
    """Digest of all events, and the latest of them to look at.

    Neither addresses nor hashes of strings enter it, so equal seeds give equal
    digests in another process too, whatever ``PYTHONHASHSEED`` says.
    """

    def __init__(self, *, keep: int = 10_000) -> None:
        """Start empty.

        Args:
            keep: How many of the latest events ``events`` holds; older ones live
                on in the digest only.
        """
        self._digest = hashlib.blake2b(digest_size=16)
        self._latest: deque[TraceEvent] = deque(maxlen=keep)
        self._count = 0

    def __len__(self) -> int:
        """Return how many events were recorded, ever."""
        return self._count

    @property
    def events(self) -> tuple[TraceEvent, ...]:
        """The latest events, oldest first."""
        return tuple(self._latest)

    def record(self, time_ns: int, kind: str, label: str) -> None:
        """Add one event."""
        self._count += 1
        self._latest.append(TraceEvent(time_ns, kind, label))
        self._digest.update(f"{time_ns} {kind} {label}\n".encode("utf-8", "surrogatepass"))

    def hexdigest(self) -> str:
        """Return the digest of all events so far."""
        return self._digest.hexdigest()

    def tail(self, count: int = 10) -> str:
        """Return the latest events as lines of text, for messages."""
        return "\n".join(f"  {e.time_ns / 1e9:.9f} s  {e.kind:<6} {e.label}" for e in self.events[-count:])
