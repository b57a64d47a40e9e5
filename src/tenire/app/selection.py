"""Which documents a condition selects, remembered as long as the ledger stays what it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.app.where import Condition
    from tenire.storage.ledger import Ledger

__all__ = ["Selection"]

_KEPT = 8


class Selection:
    """The documents of one ledger that conditions select; threads may share it.

    Reading what is known about 10,000 documents takes longer than a search, and searches
    that follow each other mostly ask the same.

    Args:
        ledger: Open for reading.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._version = -1
        self._known: OrderedDict[Condition, frozenset[str]] = OrderedDict()

    def of(self, condition: Condition) -> frozenset[str]:
        """Return the ids of the documents with a place of which the condition is true.

        The same object as before, if nothing has changed.
        """
        with self._lock, self._ledger.snapshot():
            version = self._ledger.abouts.version()
            if version != self._version:
                self._version = version
                self._known.clear()
            found = self._known.get(condition)
            if found is None:
                places = self._ledger.abouts.all()
                found = frozenset(place.document for place in places if condition.holds(place))
                self._known[condition] = found
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(condition)
            return found
