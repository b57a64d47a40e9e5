"""Vectors of texts: few requests for many texts, whoever asks for them.

1. A text whose vector is kept costs nothing; equal texts of one call are sent once, and so
   are those of several calls at the same time, over all programs that use the home.
2. All others wait a moment for each other, and go together, as many as the provider takes
   in one request and as its quota lets pass at once.
3. A request that fails for what is in it (too large, or one text that cannot be embedded) is
   cut in two, until that text is alone: only its caller gets the error.
4. If the server has failed because of it, its parts are not tried again as they are, but cut
   again; a text that is left alone has all its tries. The breaker is not told of those: they
   are expected, and whether the server is well is found out by other means (``InputFaults``).
5. A request that fails in an outage waits for its end, and has its tries anew.
6. Vectors are durable, with what they cost, before anybody sees them.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tenire.concurrency.submit import priority_of
from tenire.core.retrying import Kind
from tenire.errors import BadRequestError, BrokenReplyError, ConfigError, ModelError, ServerError, TenireError
from tenire.llm.endpoint import kind_of_failure
from tenire.llm.input_faults import Fault, may_be_the_input
from tenire.llm.passage import Passage
from tenire.llm.replies import Vector
from tenire.llm.reply_store import Asked
from tenire.llm.requests import text_key
from tenire.llm.text_flights import TextFlights
from tenire.resilience import Batcher
from tenire.resilience.failures import Failure
from tenire.resilience.options import seconds_of
from tenire.resilience.retries import Tally
from tenire.resilience.tasks import end
from tenire.resilience.urgency import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tenire.core.tasks import Priority
    from tenire.llm.records import Transport
    from tenire.llm.session import Session
    from tenire.resilience import Guard

__all__ = ["MOST_TEXTS", "MOST_TOKENS", "Embeddings"]

MOST_TEXTS = 256
"""Texts of one request; OpenAI takes 2,048, others fewer."""
MOST_TOKENS = 100_000
"""Tokens of one request, as estimated; OpenAI takes 300,000."""

_PART_OF_QUOTA = 8  # of what a minute allows, what one request may take
_GATHER_S = 0.005
_PLACES = 64
_KIND = "f"  # floats of 32 bits
_HARMLESS = ["a"]


@dataclass(slots=True, eq=False)
class _Text:
    text: str
    key: bytes
    tokens: int
    suspected: bool = False  # of having made a request fail


class _Group(NamedTuple):
    """What texts of one request have in common."""

    dimensions: int | None
    priority: Priority | str
    pipeline: str
    keep: bool


_CUT_AGAIN = Failure(Kind.PERMANENT, outcome="cancelled")
_TRY_AGAIN = Failure(Kind.TRANSIENT, outcome="cancelled", may_be_the_call=True)


def _of_a_part(error: BaseException) -> Kind | Failure | None:
    return _CUT_AGAIN if may_be_the_input(error) else kind_of_failure(error)


def _of_one_alone(error: BaseException) -> Kind | Failure | None:
    return _TRY_AGAIN if may_be_the_input(error) else kind_of_failure(error)


class Embeddings:
    """Embeds texts, of all callers of one client.

    Args:
        session: Of the client.
        transport: The way to the provider.
    """

    def __init__(self, session: Session, transport: Transport) -> None:
        self._session = session
        self._transport = transport
        self._batchers: dict[_Group, Batcher[_Text, array[float]]] = {}
        self._flights: TextFlights[array[float]] = TextFlights()
        endpoint = session.endpoints[0]
        self._parts, self._alone = endpoint.judging(_of_a_part), endpoint.judging(_of_one_alone)
        self._faults, self._asking = endpoint.finding_faults()

    async def embed(
        self,
        texts: Sequence[str],
        *,
        dimensions: int | None,
        priority: Priority | str,
        pipeline: str,
        deadline: float | None,
        keep: bool,
    ) -> list[array[float]]:
        """Return one vector for each text; see ``ChatClient.embed``."""
        if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
            raise ConfigError(f"embed takes a list of texts, got a single {type(texts).__name__!r}", key="texts")
        deadline = seconds_of("deadline", deadline)
        session = self._session
        model, counter = session.settings.model, session.endpoints[0].account.counter
        wanted: dict[bytes, _Text] = {}
        keys = []
        for text in texts:
            if not isinstance(text, str):
                message = f"texts to embed must be strings, got {type(text).__name__!r} (text {len(keys)})"
                raise ConfigError(message, key="texts")
            key = text_key(session.service, model, dimensions, text)
            keys.append(key)
            if key not in wanted:
                wanted[key] = _Text(text, key, counter.estimate_texts(model, (text,)).input_tokens)
        found = await session.store.find(list(wanted)) if keep else {}
        session.totals.cached_calls += sum(key in found for key in keys)
        vectors: dict[bytes, array[float]] = {key: array(_KIND, kept.numbers) for key, kept in found.items()}
        missing = [one for key, one in wanted.items() if key not in vectors]
        if missing:
            batcher = self._batcher(_Group(dimensions, priority, pipeline, keep))
            fetch = partial(self._shared, batcher) if keep else batcher
            made, failed = await _all(partial(fetch, deadline=deadline), missing)
            vectors.update(made)
            if failed:
                raise _failure(failed, keys, vectors)
        return [vectors[key] for key in keys]

    async def aclose(self) -> None:
        """Wait for what is under way."""
        for batcher in self._batchers.values():
            await batcher.aclose()

    async def _shared(
        self, batcher: Batcher[_Text, array[float]], one: _Text, *, deadline: float | None
    ) -> array[float]:
        """Return the vector of a text, whoever asks for it."""
        session = self._session
        now = asyncio.get_running_loop().time
        made_here = False

        async def ask(seconds: float | None) -> array[float]:
            until = None if seconds is None else now() + seconds

            async def make() -> array[float]:
                nonlocal made_here
                made_here = True
                return await batcher(one, deadline=None if until is None else max(1e-9, until - now()))

            found = await session.store.claimed(one.key, make, deadline=seconds)
            return found if isinstance(found, array) else array(_KIND, cast("Vector", found).numbers)

        vector = await self._flights.join(one.key, ask, deadline=deadline)
        session.totals.cached_calls += not made_here
        return vector

    def _batcher(self, group: _Group) -> Batcher[_Text, array[float]]:
        batcher = self._batchers.get(group)
        if batcher is None:

            async def embed(texts: list[_Text]) -> list[array[float]]:
                return await self._request(group, texts)

            batcher = self._batchers[group] = Batcher(
                embed,
                most=MOST_TEXTS,
                max_delay=_GATHER_S,
                places=_PLACES,
                weigh=lambda one: one.tokens,
                most_weight=self._most_tokens(),
                blame=lambda error: isinstance(error, ModelError) and bool(error.texts),
            )
        return batcher

    def _most_tokens(self) -> int:
        metrics = self._session.quota.statistics().metrics
        limits = [one.limit for name, one in metrics.items() if name.endswith("tokens") and one.limit is not None]
        return min([MOST_TOKENS, *(max(1, limit // _PART_OF_QUOTA) for limit in limits)])

    async def _request(self, group: _Group, texts: list[_Text]) -> list[array[float]]:
        """Make one request, with all its tries, and keep what comes."""
        session, endpoint = self._session, self._session.endpoints[0]
        asked, tally = Asked(b""), Tally()
        guard = endpoint.plain
        if all(one.suspected for one in texts):
            guard = self._parts if len(texts) > 1 else self._alone
        while True:
            try:
                vectors = await self._call(guard, [one.text for one in texts], group, asked, tally)
                break
            except BaseException as error:
                await session.store.record(asked)
                fault = await self._faults.of(error, tally.began_at, partial(self._answers, group))
                if fault is Fault.INPUT:
                    _blame(texts, error)
                if fault is not Fault.OUTAGE:
                    raise
                tally.begin_anew()
        self._faults.answered()
        made_at = session.wall()
        kept = {one.key: Vector(vector.tobytes(), made_at) for one, vector in zip(texts, vectors, strict=True)}
        # It was paid for: from here on a cancellation comes too late to lose it.
        await (session.store.keep(kept, asked) if group.keep else session.store.record(asked))
        return vectors

    async def _answers(self, group: _Group) -> bool:
        """Return whether the server answers who asks for what is harmless; in an outage only when that is over."""
        asked = Asked(b"")
        try:
            await self._call(self._asking, _HARMLESS, group, asked)
        except TenireError as error:
            return isinstance(error, BadRequestError)
        finally:
            await self._session.store.record(asked)
        return True

    async def _call(
        self, guard: Guard, words: list[str], group: _Group, asked: Asked, tally: Tally | None = None
    ) -> list[array[float]]:
        endpoint = self._session.endpoints[0]
        account = endpoint.account
        estimate = account.counter.estimate_texts(account.model, words)
        urgency = Urgency(priority_of(group.priority))
        return await guard.call(
            _Try(self._transport, account.model),
            words,
            group.dimensions,
            admission=partial(Passage, account, asked, estimate, urgency, group.pipeline),
            hand_on=True,
            patience=endpoint.patience,
            tally=tally,
        )


class _Try:
    """Makes one try of one request."""

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport = transport
        self.__qualname__ = f"the call of {model}"

    async def __call__(self, passage: Passage, texts: list[str], dimensions: int | None) -> list[array[float]]:
        model = passage.model
        reply = await passage.send(partial(self._transport.embed, model, texts, dimensions=dimensions))
        sizes = {len(vector) for vector in reply.vectors}
        if len(reply.vectors) != len(texts) or len(sizes) != 1 or 0 in sizes:
            message = (
                f"expected one vector of {model} for each of {len(texts)} texts, all of one length, "
                f"got {len(reply.vectors)} of lengths {sorted(sizes)}"
            )
            raise BrokenReplyError(message)
        return [array(_KIND, vector) for vector in reply.vectors]


def _blame(texts: list[_Text], error: BaseException) -> None:
    """Take in, and say on the error, that a request failed for what is in it."""
    for one in texts:
        one.suspected = True
    if not isinstance(error, ModelError):  # that of the time limit for a try, which knows of no texts
        error = ServerError(str(error), code="timeout", charged=True)
        error.texts = tuple(range(len(texts)))
        raise error
    error.texts = tuple(range(len(texts)))


async def _all(
    fetch: Callable[[_Text], Coroutine[Any, Any, array[float]]], texts: list[_Text]
) -> tuple[dict[bytes, array[float]], dict[bytes, BaseException]]:
    """Return what is fetched for each text, and why some could not be: the others are fetched first, to be kept."""
    tasks = {text.key: asyncio.create_task(fetch(text), name="text") for text in texts}
    try:
        await asyncio.wait(tasks.values())
    finally:
        await end(tuple(tasks.values()))
    failed = {key: error for key, task in tasks.items() if (error := task.exception()) is not None}
    return {key: task.result() for key, task in tasks.items() if key not in failed}, failed


def _failure(
    failed: dict[bytes, BaseException], keys: list[bytes], vectors: dict[bytes, array[float]]
) -> BaseException:
    """Return the error for all texts that failed: one that is not their own fault, if there is any."""
    own = {key for key, error in failed.items() if isinstance(error, ModelError) and error.texts}
    key = next((key for key in failed if key not in own), next(iter(failed)))
    error = failed[key]
    if isinstance(error, ModelError):  # others may get the same one, for other places
        notes, cause = getattr(error, "__notes__", ()), error.__cause__
        error = copy(error)
        error.__notes__, error.__cause__ = [*notes], cause
        error.texts = tuple(place for place, one in enumerate(keys) if one in own) if key in own else ()
        # Its caller paid for them, and a home that keeps less than all of them may not have them any more.
        error.vectors = {place: vectors[one] for place, one in enumerate(keys) if one in vectors} if key in own else {}
    error.add_note(f"tenire: it is text {keys.index(key)} of those {len(keys)} that were given")
    return error
