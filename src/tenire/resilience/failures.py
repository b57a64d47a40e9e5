"""What an exception says: whether another try may help, when, and whether the other side is well.

In this order:

1. What the caller's own ``classify`` says.
2. What is not among ``retry.on`` is permanent.
3. What Tenire refused or gave up itself says nothing about the other side. It is
   permanent, but for a time limit and for a worker process that died.
4. A status of HTTP, found where the usual clients keep it: 429, 503 and 529 are
   overload; 408, 425 and the other 5xx are transient; all else is permanent. The header
   ``x-should-retry`` overrules it.
5. Mistakes of a program (``TypeError``, ``KeyError``, …) are permanent, unless
   ``retry.on`` was set by hand.
6. Everything else is transient.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.core.retrying import Kind
from tenire.errors import BrokenReplyError, CircuitOpenError, InternalError, TenireError, WorkerDiedError
from tenire.resilience.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.core.breaker import Outcome

__all__ = ["Failure", "Judge", "PassedOverError", "UnmadeError", "may_be_an_item"]

_ANY = (Exception,)
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    FileExistsError,
    FileNotFoundError,
    ImportError,
    InternalError,
    IsADirectoryError,
    LookupError,
    MemoryError,
    NameError,
    NotADirectoryError,
    NotImplementedError,
    PermissionError,
    RecursionError,
    ReferenceError,
    SyntaxError,
    TypeError,
    ValueError,
)
_BROKEN_REPLIES = (JSONDecodeError, UnicodeDecodeError)  # both are ValueErrors, and no mistake of the caller

_OVERLOAD = frozenset({429, 503, 529})
_TRANSIENT = frozenset({408, 425, 500, 502, 504, *range(506, 529), *range(530, 600)})


class UnmadeError(Exception):
    """Inside a guard: a call that was let in is not made after all."""


class PassedOverError(CircuitOpenError):
    """Given up for the moment, because of an outage of what is called: somebody stands in for it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What an exception says.

    Attributes:
        kind: Whether another try may help.
        retry_after: Seconds to wait at least before it; 0 if nothing was said.
        outcome: What the breaker is told.
        may_be_the_call: Whether the call itself may be the reason, and not the state of the
            other side: it was answered, and that it went wrong there is all that was said.
    """

    kind: Kind
    retry_after: float = 0.0
    outcome: Outcome = "failure"
    may_be_the_call: bool = False


class Judge:
    """Says what exceptions mean.

    Args:
        on: Those that are worth another try.
        classify: The caller's own opinion: of what kind it is, or all that it says; ``None`` where it has none.
        wall: Tells seconds since the epoch, for a ``Retry-After`` that is a date.
    """

    __slots__ = ("_classify", "_on", "_wall")

    def __init__(
        self,
        *,
        on: tuple[type[BaseException], ...] = _ANY,
        classify: Callable[[BaseException], Kind | Failure | None] | None = None,
        wall: Callable[[], float] = SYSTEM_CLOCK.wall,
    ) -> None:
        self._on = on
        self._classify = classify
        self._wall = wall

    def __call__(self, error: BaseException) -> Failure:
        """Return what an exception says."""
        kind = None if self._classify is None else self._classify(error)
        if isinstance(kind, Failure):
            return kind
        status, headers = _reply(error)
        if kind is None:
            kind = self._kind(error, status, headers)
        if kind is Kind.PERMANENT or kind is Kind.POISON:
            # A refusal for good reasons is the answer of somebody who is well.
            return Failure(kind, outcome="cancelled" if status is None else "ok")
        outcome: Outcome = "ok" if kind is Kind.UNCOUNTED else "failure"
        own = status == HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, (*_BROKEN_REPLIES, BrokenReplyError))
        return Failure(kind, _stated(error) or retry_after(headers, self._wall) or 0.0, outcome, own)

    def _kind(self, error: BaseException, status: int | None, headers: Any) -> Kind:
        if not isinstance(error, self._on):
            return Kind.PERMANENT
        if isinstance(error, TenireError):
            return Kind.TRANSIENT if isinstance(error, (TimeoutError, WorkerDiedError)) else Kind.PERMANENT
        if status is not None:
            return _of_status(status, headers)
        mistake = isinstance(error, _MISTAKES) and not isinstance(error, _BROKEN_REPLIES)
        return Kind.PERMANENT if mistake and self._on == _ANY else Kind.TRANSIENT


_OF_INPUT = frozenset({400, 413, 414, 415, 422})


def may_be_an_item(error: BaseException) -> bool:
    """Return whether a batch may have failed because of one item in it.

    What says that the other side is unwell, or that nobody may call it, says nothing about
    the items: each of them would fail on its own too. A worker that died may have been
    killed by one.
    """
    if isinstance(error, WorkerDiedError):
        return True
    status, _ = _reply(error)
    if status is not None:
        return status in _OF_INPUT
    return not isinstance(error, TenireError) and Judge()(error).kind is Kind.PERMANENT


def _of_status(status: int, headers: Any) -> Kind:
    kind = Kind.OVERLOAD if status in _OVERLOAD else Kind.TRANSIENT if status in _TRANSIENT else Kind.PERMANENT
    try:
        said = headers.get("x-should-retry")
    except (AttributeError, TypeError):
        return kind
    if said == "true" and kind is Kind.PERMANENT:
        return Kind.TRANSIENT
    return Kind.PERMANENT if said == "false" else kind


def _reply(error: BaseException) -> tuple[int | None, Any]:
    """Return status and headers: of aiohttp on the error, of httpx, requests and openai on its response."""
    places = (error, getattr(error, "response", None))
    known = (getattr(place, "headers", None) for place in places)
    headers = next((found for found in known if found is not None), None)
    for place in places:
        for name in ("status", "status_code"):
            status = getattr(place, name, None)
            if isinstance(status, int) and 300 <= status < 600:
                return int(status), headers
    return None, headers


def _stated(error: BaseException) -> float | None:
    """Return the seconds that an exception of the user's own names as ``retry_after``."""
    seconds = getattr(error, "retry_after", None)
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return None
    return float(seconds) if 0 < seconds < float("inf") else None
