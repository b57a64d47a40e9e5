"""What a failed call of a model means, as one error that says what came, where, and what to do.

1. The status decides, unless the body knows better: providers use 429 also for an empty
   account and for a request that will never fit, 400 also for a wrong key, and 200 also
   for errors.
2. A message holds neither the prompt nor a key, whatever the server quotes.
3. ``kind_of`` says for each error whether another try may help, ``sign_of_outage`` whether it
   may be an outage's, and ``is_unanswered`` whether the request was sent and nothing came.
4. Who gives up a call while it is still being connected, or sent, does not know; a mark on
   what ends it does (``mark_unsent``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.core.outages import Sign
from tenire.core.retrying import Kind
from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    CallTimeoutError,
    ContextLengthError,
    ModelError,
    OutOfCreditError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.excerpts import Complaint, complaint, fit_to_show
from tenire.llm.rate_headers import rate_report, seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tenire.llm.dialects import NoReplyError
    from tenire.llm.headers import SentHeaders
    from tenire.llm.keys import ApiKey

__all__ = [
    "DISCONNECTED",
    "LOST_WORKER",
    "Call",
    "broken",
    "is_unanswered",
    "is_unconnected",
    "is_unsent",
    "kind_of",
    "mark_unsent",
    "no_reply",
    "refusal",
    "sign_of_outage",
    "unanswered",
]

_TRANSIENT_4XX = frozenset({408, 409, 425})
_OVERLOAD = frozenset({429, 503, 529})
_NEVER = frozenset({501, 505})
_MARK = "tenire_connected"
_UNREACHED = frozenset({"connect", "dns", "proxy", "timeout", "tls"})  # a timeout that costs nothing was for connecting
DISCONNECTED = "disconnected"
"""The code of a failure of a connection that was closed before there was an answer."""
LOST_WORKER = "lost worker"
"""The code of a failure of a model on this machine whose worker has ended: it is started again at once."""
_SHOWN_HEADERS = re.compile(
    r"(x-ratelimit-|anthropic-ratelimit-|retry-after|(x-)?request-id$|x-should-retry$|date$|server$|cf-ray$"
    r"|content-(type|length)$|openai-processing-ms$)"
)
_NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|credits|balance|funds)|billing_|exceeded your current quota|credit balance"
)
_TOO_LONG = re.compile(
    r"context[_ ](length|window|size|limit)|exceeds? the (available )?context|(prompt|input) is too long"
    r"|too many tokens|maximum.{0,40}tokens|must have less than \d+ tokens|reduce the length"
)
_WRONG_KEY = re.compile(
    r"invalid[_ ]api[_ ]key|api key not valid|incorrect api key|authentication_error|invalid x-api-key"
)
_NO_MODEL = re.compile(
    r"model[_ ]not[_ ]found|not a valid model|invalid model|unknown model|no such model|deploymentnotfound"
    r"|not_found_error|model.{0,80}(does not exist|not found)"
)
_NEVER_FITS = re.compile(r"request too large")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as errors speak of it.

    Attributes:
        expected: What was asked for: ``a chat completion``.
        address: Where, without a query.
        model: Of which model.
        prompt: Returns the texts that were sent; only asked when something failed.
        key: That was sent.
        sent: The user's own headers, or ``None``.
    """

    expected: str
    address: str
    model: str
    prompt: Callable[[], Iterable[str]] | None
    key: ApiKey | None = None
    sent: SentHeaders | None = None

    def message(self, got: str, said: str = "") -> str:
        """Return the sentence of an error."""
        quoted = f": {said}" if said else ""
        model = f" of model {self.model!r}" if self.model else ""
        return f"expected {self.expected}{model} from {self.address}, got {got}{quoted}"

    def shown(self, text: str) -> str:
        """Return what a server said, fit to be shown; nothing if it cannot be told whether it quotes the prompt."""
        return "" if self.prompt is None else fit_to_show(self._hide(text), self.prompt(), self.key)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return those headers that an error may hold."""
        named = ((name.lower(), value) for name, value in headers.items())
        return {name: self._hide(value) for name, value in named if _SHOWN_HEADERS.match(name)}

    def _hide(self, text: str) -> str:
        for secret in (self.key, self.sent):
            if secret is not None:
                text = secret.hide(text)
        return text


def refusal(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """Return the error for an answer that is no reply: any status of 300 and above, or a 200 with an error in it."""
    said = complaint(body)
    if status < 300:  # the body's own status, as gateways pass it on
        status = next((int(code) for code in said.codes if code.isdigit() and 400 <= int(code) < 600), 502)
    cls, hint = _class(status, said)
    if cls is AuthenticationError:
        hint = _about_key(call.key)
    return cls(
        call.message(_named(status), call.shown(said.message)),
        status=status,
        headers=call.headers(headers),
        retry_after=_retry_after(headers, said),
        code=(call.shown(said.code) or None) if said.code is not None else None,
        hint=hint,
    )


def _retry_after(headers: Mapping[str, str], said: Complaint) -> float | None:
    report = rate_report(headers)
    if report is not None and report.retry_after is not None:
        return report.retry_after
    return (seconds_until(said.retry_delay, SYSTEM_CLOCK.wall) or None) if said.retry_delay else None


def _class(status: int, said: Complaint) -> tuple[type[ModelError], str | None]:
    text = " ".join((*said.codes, said.message[:2000])).lower()
    if status < 400:
        return ModelError, "the address has moved: check base_url, its scheme and its path (often /v1)"
    # Google says the same of a quota that is back in a minute.
    if status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(text) and "resource_exhausted" not in text):
        return OutOfCreditError, "add credit or raise the limit at the provider, or use another key"
    if status == 403 and said.flagged:
        return BadRequestError, None
    if status == 407:
        return ServerError, "the proxy wants a name and a password: put them into HTTPS_PROXY"
    if status in (401, 403) or (status == 400 and _WRONG_KEY.search(text)):
        return AuthenticationError, None  # by the key that was sent
    if status == 404 or (status == 400 and _NO_MODEL.search(text)):
        return UnknownModelError, _what_is_missing(text)
    if status == 429:
        if _NEVER_FITS.search(text):
            return BadRequestError, "this request alone is larger than the limit of a minute: make it smaller"
        return RateLimitedError, None
    if status in _TRANSIENT_4XX or status >= 500:
        return ServerError, None
    if status in (400, 413, 422) and _TOO_LONG.search(text):
        return ContextLengthError, "shorten the prompt, or ask for fewer output tokens"
    return BadRequestError, None


def _about_key(key: ApiKey | None) -> str:
    if key is None:
        return "no key was given: put it into an environment variable, and name that in api_key_env"
    place = f" in {key.variable}" if key.variable is not None else ""
    return f"check the key{place}: the right one, for this base_url, with access to this model"


def _what_is_missing(text: str) -> str:
    if "model" in text or "deployment" in text:
        return "check the model's name: those that the server has are at its /models"
    return "check base_url: there is no such address (often it must end in /v1), or no such model"


def no_reply(call: Call, error: NoReplyError, headers: Mapping[str, str]) -> ModelError:
    """Return the error for an answer of status 200 that a dialect could not read."""
    if error.error is not None:
        return refusal(call, 200, headers, error.error)
    return broken(call, error.got, headers)


def broken(call: Call, got: str, headers: Mapping[str, str] | None = None) -> BrokenReplyError:
    """Return the error for an answer that is broken off, or of a form that is no reply.

    Args:
        call: That was made.
        got: What came instead, without any text of the server.
        headers: Of the answer.
    """
    return BrokenReplyError(call.message(got), status=200, headers=call.headers(headers or {}), charged=True)


def unanswered(call: Call, got: str, *, code: str, charged: bool = False, hint: str | None = None) -> ServerError:
    """Return the error for a call without an answer: not reached, broken off, too slow."""
    return ServerError(call.message(got), code=code, charged=charged, hint=hint)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return "529 Overloaded" if status == 529 else str(status)


def kind_of(error: BaseException) -> Kind | None:
    """Say whether another try may help; for ``classify=`` of a guard.

    Returns:
        ``None`` for what is no ``ModelError``.
    """
    if not isinstance(error, ModelError):
        return None
    said = error.headers.get("x-should-retry")
    if isinstance(error, (AuthenticationError, BadRequestError, UnknownModelError)) or said == "false":
        return Kind.PERMANENT
    if isinstance(error, RateLimitedError) or error.status in _OVERLOAD:
        return Kind.OVERLOAD
    if error.status in _NEVER and said != "true":
        return Kind.PERMANENT
    if isinstance(error, (ServerError, BrokenReplyError)) or said == "true":
        return Kind.TRANSIENT
    return Kind.PERMANENT


def is_unanswered(error: BaseException) -> bool:
    """Return whether a request was sent, and had no answer: its server closed the connection, or was too slow."""
    if isinstance(error, CallTimeoutError):
        return not is_unconnected(error)
    return isinstance(error, ServerError) and error.status is None and (error.charged or error.code == DISCONNECTED)


def sign_of_outage(error: BaseException) -> Sign | None:
    """Say what an error tells of an outage; for ``outage=`` of a guard.

    Returns:
        ``None`` if it tells nothing. What may have been charged for does not: a call that is
        made again and again would be paid again and again (``llm.input_faults``).
    """
    if isinstance(error, CallTimeoutError):
        return Sign.UNREACHED if is_unconnected(error) else None
    if not isinstance(error, ServerError) or error.charged:
        return None
    if error.status is None:
        if error.code == LOST_WORKER:
            return None
        return Sign.UNREACHED if error.code in _UNREACHED else Sign.UNWELL
    if error.status < 500:
        return None
    # 502 and 504 are also what a gateway says of a prompt that its server breaks down over, or takes too long for.
    return Sign.UNWELL if error.status in _OVERLOAD else Sign.DOUBTFUL


def mark_unsent(error: BaseException, *, connected: bool) -> None:
    """Note on what ends a call, such as its cancellation, that not all of it was sent.

    Args:
        error: What ends it.
        connected: Whether it had a connection.
    """
    setattr(error, _MARK, connected)


def is_unsent(error: BaseException) -> bool:
    """Return whether an error ended a call of which not all was sent."""
    return hasattr(error, _MARK)


def is_unconnected(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, ended a call that had no connection yet."""
    while error is not None:
        if hasattr(error, _MARK):
            return not getattr(error, _MARK)
        error = error.__cause__
    return False
