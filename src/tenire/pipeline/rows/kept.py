"""Keeps the output what the ledger says, from one run to the next.

The ledger remembers how a run left the file: its mark, and the order of its lines.
That is forgotten before the first change, so a file that is not as it was left, or that a
run was killed over, is made anew.
"""

from __future__ import annotations

import json
import threading
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from tenire.storage.rows import AnsweredRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.rows.outbox import Outcome
    from tenire.pipeline.rows.output import Output
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

__all__ = ["OUTPUT", "KeptOutput", "lines_of", "remember_output"]

OUTPUT = "output:"
"""What the ledger keeps of an output stands under this and its pipeline's name."""


class KeptOutput:
    """The output of one pipeline during one run; methods block, call them on threads.

    Args:
        pipeline: The pipeline.
        output: Its file.
        session: The home.
    """

    def __init__(self, pipeline: str, output: Output, session: HomeSession) -> None:
        self._pipeline = pipeline
        self._output = output
        self._session = session
        self._lock = threading.Lock()
        self._order = ""
        self._stale = False
        self._begun = False
        self._opened = False
        self._ended = False

    def begin(self) -> None:
        """Take the file as it was left, or make it anew.

        Raises:
            PipelineError: If it cannot be written.
        """
        with self._lock:
            ledger = self._session.ledger
            text = ledger.setting(self._key)
            left: dict[str, Any] = json.loads(text) if text else {}
            if left.get("mark") and (left["path"], left["mark"]) == (str(self._output.path), self._output.mark()):
                self._order = left["order"]
            else:
                self._opened = True
                self._remember("")  # the file is this pipeline's from here on
                self._output.replace(lines_of(ledger, self._pipeline))
            self._begun = True

    def open(self) -> None:
        """Forget how the file was left: the ledger is about to say something that it does not."""
        with self._lock:
            if not self._opened:
                self._opened = True
                self._remember("")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Add the lines of rows that the ledger has by now.

        Raises:
            PipelineError: If they cannot be written.
        """
        with self._lock:
            if self._ended:  # a commit that was slow to end; the next run finds it in the ledger
                return
            self._order = ""
            stale = self._stale or any(outcome.was_done for outcome in outcomes)
            self._stale = True  # of what it fails over, a full disk may have taken a part
            lines = [
                outcome.row.line
                for outcome in outcomes
                if isinstance(outcome.row, AnsweredRow) and not outcome.was_done
            ]
            self._stale = not self._output.append(lines) or stale

    def remove(self, some: Callable[[], int]) -> int:
        """Have rows leave the ledger; the file shows them until it is arranged.

        Args:
            some: Removes some of them, and returns how many.
        """
        self.open()
        with self._lock:
            stale, self._stale = self._stale, True
            removed = some()
            self._stale = stale or removed > 0
        return removed

    def arrange(self, run: Run, order: str, *, changed: bool, removed: bool, others: bool) -> None:
        """Bring the lines into the order of the source.

        Args:
            run: The run, which has listed all of it.
            order: A hash of that order.
            changed: Whether rows have come or gone.
            removed: Whether rows have gone.
            others: Whether rows may be done that the source has no more; they come last.

        Raises:
            PipelineError: If it cannot be written.
        """
        with self._lock:
            self._opened = True
            unordered = self._output.ordered and (changed or order != self._order)
            if unordered or removed or self._stale:
                rows = self._session.ledger.rows
                last = partial(rows.lines_not_listed, run) if others else partial(iter, ())
                self._output.replace(_Lines(lambda: chain(rows.lines_in_order(run), last())))
            self._order = order
            self._stale = False

    def end(self, *, mend: bool) -> None:
        """Remember how the file is left.

        Args:
            mend: Whether to make it anew if an older answer stands in it. Otherwise
                the next run does.

        Raises:
            PipelineError: If it cannot be written.
        """
        with self._lock:
            self._ended = True
            ledger = self._session.ledger
            if self._begun and self._stale and mend:
                self._output.replace(lines_of(ledger, self._pipeline))
                self._stale = False
            self._output.close()
            if self._begun and not self._stale:
                self._remember(self._output.mark())

    def _remember(self, mark: str) -> None:
        remember_output(self._session.ledger, self._pipeline, self._output, mark=mark, order=self._order)

    @property
    def _key(self) -> str:
        return f"{OUTPUT}{self._pipeline}"


def lines_of(ledger: Ledger, pipeline: str) -> Iterable[bytes]:
    """Return the lines of all rows of a pipeline that are done; they may be gone through more than once."""
    return _Lines(partial(ledger.rows.lines, pipeline))


def remember_output(ledger: Ledger, pipeline: str, output: Output, *, mark: str, order: str = "") -> None:
    """Keep how an output is left; without a mark, as one that may not be what it should."""
    text = json.dumps({"path": str(output.path), "mark": mark, "order": order})
    if ledger.setting(f"{OUTPUT}{pipeline}") != text:
        ledger.remember(f"{OUTPUT}{pipeline}", text)


class _Lines:
    """Lines that may be gone through more than once."""

    def __init__(self, lines: Callable[[], Iterator[bytes]]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[bytes]:
        return self._lines()
