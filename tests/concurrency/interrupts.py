"""Ctrl-C at one exact point."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Interrupt"]


class Interrupt:
    """Raises ``KeyboardInterrupt`` at the nth point where the interpreter may, in the files of some rooms.

    That is where a function begins, and where one that is not Python has returned.

    Args:
        number: The point's, from 1.
        rooms: How the names of the files begin.
        meanwhile: Called at that point, just before.
    """

    def __init__(self, number: int, rooms: tuple[str, ...], meanwhile: Callable[[], object] = lambda: None) -> None:
        self.left = number
        self.rooms = rooms
        self.meanwhile = meanwhile

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(self.rooms):
            self.left -= 1
            if self.left == 0:
                self.meanwhile()
                raise KeyboardInterrupt

    def strikes(self, act: Callable[[], object]) -> bool:
        """Return whether it was raised."""
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            act()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(before)
        return False
