"""Why a web page cannot be had.

::

    TenireError
    └── PageError                it cannot be had (holds its address)
        ├── PageTimeoutError         also a TimeoutError
        ├── PageTooLargeError        it is larger than was allowed
        ├── AddressRefusedError      it is not to be reached, or leads to what is not
        ├── RobotsError              its host does not want it to be read by programs
        └── BrowserLostError         the browser ended again and again
"""

from __future__ import annotations

from tenire.errors import TenireError

__all__ = [
    "AddressRefusedError",
    "BrowserLostError",
    "PageError",
    "PageTimeoutError",
    "PageTooLargeError",
    "RobotsError",
]


class PageError(TenireError):
    """A web page cannot be had: it cannot be reached, refuses, or is none.

    Attributes:
        url: Its address.
        status: The status of HTTP, or ``None`` if there was no answer.
        temporary: Whether it may be had later, as far as can be known.
    """

    temporary = True

    def __init__(
        self,
        message: str,
        *,
        url: str,
        status: int | None = None,
        temporary: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.status = status
        if temporary is not None:
            self.temporary = temporary


class PageTimeoutError(PageError, TimeoutError):
    """A page was not there in time."""


class PageTooLargeError(PageError):
    """A page, or what was to be downloaded, is larger than was allowed."""

    temporary = False


class AddressRefusedError(PageError):
    """An address is not to be reached: it is on a private network, or leads to one."""

    temporary = False


class RobotsError(PageError):
    """A host's ``robots.txt`` does not allow programs to read a page."""

    temporary = False


class BrowserLostError(PageError):
    """The browser, or its driver, ended each time that a page was asked for."""
