"""What the ledger knows about the documents that a search looks at and finds.

Store and ledger are committed one after the other, so a document may be in the store a
moment before the ledger says so. The intent of its commit was written before either, and
tells the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from tenire.storage.abouts import KnownDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.app.where import Condition
    from tenire.storage.ledger import Ledger

__all__ = ["KnownDocuments"]

_KEPT = 8


class KnownDocuments:
    """The documents of one ledger; threads may share it.

    Reading what is known about 10,000 documents takes longer than a search, and searches
    that follow each other mostly ask the same: what a condition selects is remembered as
    long as the ledger stays what it is.

    Args:
        ledger: Open for reading.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._version = -1
        self._selected: OrderedDict[Condition, frozenset[str]] = OrderedDict()

    def version(self) -> int:
        """Return a number that is another one once the ledger has changed."""
        return self._ledger.abouts.version()

    def selected(self, condition: Condition) -> frozenset[str]:
        """Return the ids of the documents with a place of which the condition is true.

        The same object as before, if nothing has changed.
        """
        with self._lock, self._ledger.snapshot():
            version = self.version()
            if version != self._version:
                self._version = version
                self._selected.clear()
            found = self._selected.get(condition)
            if found is None:
                places = (*self._ledger.abouts.all(), *self._arriving())
                found = frozenset(place.document for place in places if condition.holds(place))
                self._selected[condition] = found
                if len(self._selected) > _KEPT:
                    self._selected.popitem(last=False)
            self._selected.move_to_end(condition)
            return found

    def places(self, documents: set[str], condition: Condition | None) -> dict[str, list[KnownDocument]]:
        """Return the places of documents; of one in several places, only those that were asked for.

        A document that the ledger does not know is not in the result.
        """
        known: dict[str, list[KnownDocument]] = {}
        with self._ledger.snapshot():
            for place in self._ledger.abouts.of(documents):
                known.setdefault(place.document, []).append(place)
            if unknown := documents - known.keys():
                for place in self._arriving():
                    if place.document in unknown:
                        known.setdefault(place.document, []).append(place)
        if condition is None:
            return known
        return {
            document: asked
            for document, places in known.items()
            if (asked := [place for place in places if condition.holds(place)])
        }

    def _arriving(self) -> Iterator[KnownDocument]:
        """Yield the places of documents whose commit is under way."""
        for intent in self._ledger.batches.pending():
            added = {row.id: row for row in intent.change.add}
            for done in intent.change.done:
                if row := added.get(done.document):
                    yield KnownDocument(row.id, done.path, row.title, row.about)
