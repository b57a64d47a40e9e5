"""The right to write to a home, shared by all of one engine that need it.

The first one who enters takes the lock and opens the ledger, which is checked for
damage; the last one who leaves closes both. Somebody may leave late, for example a
thread that cannot be stopped: until then no other engine gets in.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tenire.errors import InternalError
from tenire.storage.home import HomeLock
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from tenire.clock import Clock
    from tenire.storage.home import Home

__all__ = ["HomeHold"]


class HomeHold:
    """One engine's hold on one home; its methods block and may be called from any thread.

    Args:
        home: The home; it is made if it does not exist.
        clock: For the ledger.
    """

    def __init__(self, home: Home, *, clock: Clock) -> None:
        self.home = home
        self._clock = clock
        self._lock = HomeLock(home)
        self._guard = threading.Lock()
        self._inside = 0
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """The home's ledger, while somebody is inside."""
        if self._ledger is None:
            message = f"nobody holds the home {self.home.path}"
            raise InternalError(message)
        return self._ledger

    @property
    def held(self) -> bool:
        """Whether somebody is inside."""
        return self._lock.held

    def enter(self) -> Ledger:
        """Come in; each time has to be undone by ``leave``.

        Raises:
            HomeBusyError: If another engine runs on this home.
            StoreError: If the home or its ledger cannot be used.
        """
        with self._guard:
            if self._ledger is None:
                self._lock.acquire()
                try:
                    self._ledger = Ledger.open(self.home, clock=self._clock)
                except BaseException:
                    self._lock.release()
                    raise
            self._inside += 1
            return self._ledger

    def leave(self) -> None:
        """Go out; the last one closes the ledger and gives the home back."""
        with self._guard:
            self._inside -= 1
            if self._inside:
                return
            ledger, self._ledger = self.ledger, None
            try:
                ledger.close()
            finally:
                self._lock.release()
