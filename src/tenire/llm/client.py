"""The client for models: one object to ask, inside the quota, within the budget, never twice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, RejectedError
from tenire.llm.batches.client import AsksInBatches
from tenire.llm.calls import Calls
from tenire.llm.endpoint import RETRY
from tenire.llm.estimates import estimate
from tenire.llm.mapping import each_of, map_prompts
from tenire.llm.quotas import limits_of
from tenire.llm.requests import make_request
from tenire.llm.session import Session, statistics_of
from tenire.llm.settings import MEMORY_BYTES, ClientSettings
from tenire.llm.streams import stream_reply
from tenire.llm.ways import AnyTransport, find_way

if TYPE_CHECKING:
    import os
    from array import array
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from tenire.concurrency import ConcurrencyManager
    from tenire.concurrency.quotas import Quota
    from tenire.core.hedging import Hedging
    from tenire.core.tasks import Priority, Retry
    from tenire.llm.books import Books
    from tenire.llm.endpoint import Manner
    from tenire.llm.keys import ApiKey
    from tenire.llm.money import Price
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import Reply, ReplyPart
    from tenire.llm.requests import Prompt
    from tenire.llm.statistics import ChatStatistics, Estimate

__all__ = ["ChatClient"]

_AHEAD = 512


class ChatClient(AsksInBatches):
    """Asks a model, through any server that speaks OpenAI's or Anthropic's language.

    An async context manager; used on one event loop. All arguments but the model have
    defaults.

    Example::

        async with ChatClient("gpt-4o-mini", rpm=500, tpm=200_000, home=".tenire") as client:
            reply = await client.complete("Say hello.", max_output_tokens=10)
            print(reply.text, reply.cost_usd, reply.cached)

    Args:
        model: The model's name at the provider; ``local`` or ``local:FILE.gguf`` for one that
            runs on this machine (extra ``local-llm``).
        base_url: Of the API; default: OpenAI's.
        api_key: The key; or
        api_key_env: the environment variable that holds it.
        api_version: Of Azure's API.
        headers: Sent with every call.
        dialect: ``openai``, ``anthropic``, or ``auto``: by the address.
        transport: Another way there, in place of those six: an ``openai.AsyncOpenAI`` of yours, or a ``Transport``.
        rpm: Requests a minute, or ``None`` if that is not known: then it is learnt.
        tpm: Input and output tokens a minute.
        input_tpm: Input tokens a minute, where they are counted apart.
        output_tpm: Output tokens a minute, where they are counted apart.
        counts_output: Whether these count ``reserved`` or ``real`` output; ``None``: found out.
        max_concurrency: Calls in flight at once; ``None``: found out.
        group: Name of what the provider counts together; ``None``: what has the same limits.
        quota: A quota of the engine, in place of these.
        home: Directory in which replies and spending are kept; ``None``: in memory only.
        cache: Whether replies are kept, and given again for the same request.
        ttl: Seconds for which a kept reply is fresh; ``None`` for ever.
        stale: Seconds for which it is still given after that, while a new one is fetched.
        reply_bytes: Bytes that replies may take in the home; default: 1 GiB.
        memory_bytes: Bytes that they may take in memory.
        budget_usd: What may be spent, in the home in all; without a home, by this client.
        price: Of the model, or of several by name, if it is not one of those built in.
        books: What several clients share, in place of ``home`` and ``budget_usd``.
        manager: The engine whose slots and shares it uses; ``None`` for one of its own.
        pipeline: Whose share and whose money calls take.
        priority: Of calls that do not say.
        timeout: Seconds for one try.
        retry: When to try again: a ``Retry``, or a number of tries in all.
        hedge: Whether slow calls are sent a second time, for at most 5 % of them.
        fallback: Models, or other clients, that are asked in order when all tries have failed, and
            at once while a model is down.
        max_output_tokens: Of calls that do not say.
        parameters: Sent with every call, for example ``{"temperature": 0}``.

    Raises:
        ConfigError: If an argument is impossible.
        MissingExtraError: If aiohttp is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | ApiKey | None = None,
        api_key_env: str | None = None,
        api_version: str | None = None,
        headers: Mapping[str, str] | None = None,
        dialect: str = "auto",
        transport: AnyTransport | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        input_tpm: int | None = None,
        output_tpm: int | None = None,
        counts_output: str | None = None,
        max_concurrency: int | None = None,
        group: str | None = None,
        quota: Quota | None = None,
        home: str | os.PathLike[str] | None = None,
        cache: bool = True,
        ttl: float | None = None,
        stale: float = 0.0,
        reply_bytes: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        budget_usd: float | None = None,
        price: Price | Mapping[str, Price] | None = None,
        books: Books | None = None,
        manager: ConcurrencyManager | None = None,
        pipeline: str = "default",
        priority: Priority | str = "normal",
        timeout: float = 120.0,
        retry: Retry | int = RETRY,
        hedge: Hedging | bool = False,
        fallback: Sequence[str | ChatClient] = (),
        max_output_tokens: int | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = ClientSettings(
            model=model, timeout=timeout, retry=retry, hedge=hedge, cache=cache, ttl=ttl, stale=stale,
            priority=priority, pipeline=pipeline, price=price, max_output_tokens=max_output_tokens,
            parameters=parameters, memory_bytes=memory_bytes,
        )  # fmt: skip
        if isinstance(fallback, str):
            raise ConfigError(f"fallback must be a list, got {fallback!r}", key="fallback", hint=f"[{fallback!r}]")
        models = [model, *(other for other in fallback if isinstance(other, str))]
        self._others = tuple(other for other in fallback if isinstance(other, ChatClient))
        if len(models) + len(self._others) != 1 + len(fallback):
            message = f"fallback must be names of models, or other clients, got {fallback!r}"
            raise ConfigError(message, key="fallback")
        limits = limits_of(
            rpm=rpm, tpm=tpm, input_tpm=input_tpm, output_tpm=output_tpm, max_concurrency=max_concurrency
        )
        if quota is not None and any(value is not None for value in (*limits.values(), counts_output, group)):
            raise ConfigError("quota stands in place of rpm, tpm and max_concurrency: give one of them", key="quota")
        own_books = {"home": home, "budget_usd": budget_usd, "reply_bytes": reply_bytes}
        if books is not None and any(value is not None for value in own_books.values()):
            raise ConfigError("books stand in place of home and budget_usd: give one of them", key="books")
        way = find_way(
            model, transport, base_url, api_key=api_key, api_key_env=api_key_env, api_version=api_version,
            headers=headers, dialect=dialect, timeout=timeout,
        )  # fmt: skip
        self._calls: Calls | None = None
        self._session = Session(
            self._settings,
            way=way,
            models=tuple(models),
            limits=quota or limits,
            counts_output=counts_output,
            group=group,
            manager=manager,
            books=books,
            own_books={name: value for name, value in own_books.items() if value is not None},
        )

    async def __aenter__(self) -> Self:
        await self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close(in_peace=kind is None)

    @property
    def books(self) -> Books:
        """What is kept of calls, and what may be spent on them."""
        return self._open().books

    @property
    def manager(self) -> ConcurrencyManager:
        """The engine."""
        return self._open().manager

    async def complete(
        self,
        prompt: Prompt,
        *,
        max_output_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        priority: Priority | str | None = None,
        pipeline: str | None = None,
        deadline: float | None = None,
        cache: bool | None = None,
    ) -> Reply:
        """Return the reply to a prompt.

        Args:
            prompt: A text, or a list of messages with ``role`` and ``content``.
            max_output_tokens: Most tokens of the reply. What is reserved of the quota and of
                the budget depends on it.
            schema: A JSON schema that the reply must follow; ``reply.data`` is what it says.
            parameters: Sent with this call, for example ``{"temperature": 0}``.
            priority: Its class; critical goes before all else.
            pipeline: Whose share and whose money it takes.
            deadline: Seconds for all of it, waiting included.
            cache: Whether it may be answered by what is kept, and is kept.

        Raises:
            AuthenticationError: If the key is not accepted.
            ModelError: If there is no reply after all tries; its class says who is at fault.
            BudgetError: If it could cost more than may be spent.
            RejectedError: If it is larger than the whole quota, or is to try once and its circuit is open.
            CallTimeoutError: If it took longer than its deadline, or its last try longer than the timeout.
            StoreError: If the home cannot be written.
            ConfigError: If an argument is impossible.
        """
        request = self._request(prompt, max_output_tokens, schema, parameters)
        return await self.calls().reply(request, self._manner(priority, pipeline, deadline, cache))

    def map(
        self,
        prompts: Iterable[Prompt] | AsyncIterable[Prompt],
        *,
        max_output_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        priority: Priority | str | None = None,
        pipeline: str | None = None,
        deadline: float | None = None,
        cache: bool | None = None,
        ordered: bool = False,
        ahead: int = _AHEAD,
    ) -> AsyncIterator[Reply]:
        """Yield the replies to prompts, each with its ``index``; any number of prompts in little memory.

        A prompt that has no reply has an ``error`` instead, and the others go on. What concerns
        all of them (a wrong key, no money, an unknown model) is raised, after what was finished.

        Args:
            prompts: Any iterable, also an async one. It is read on the event loop, as far ahead as needed.
            max_output_tokens: As for ``complete``.
            schema: As for ``complete``.
            parameters: As for ``complete``.
            priority: As for ``complete``.
            pipeline: As for ``complete``.
            deadline: Seconds for each prompt, from when it was taken from ``prompts``.
            cache: As for ``complete``.
            ordered: Whether replies come in the order of their prompts; otherwise as they finish.
            ahead: Prompts that may be under way, or answered and not looked at yet.

        Raises:
            AuthenticationError: If the key is not accepted.
            UnknownModelError: If there is no such model.
            BudgetError: If the money is used up.
            ConfigError: If an argument is impossible.
        """
        calls, manner = self.calls(), self._manner(priority, pipeline, deadline, cache)
        self._request("", max_output_tokens, schema, parameters)  # what is wrong with all prompts is said at once

        async def ask(prompt: Prompt) -> Reply:
            return await calls.reply(self._request(prompt, max_output_tokens, schema, parameters), manner)

        return map_prompts(ask, prompts, ahead=ahead, ordered=ordered)

    def stream(
        self,
        prompt: Prompt,
        *,
        max_output_tokens: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        priority: Priority | str | None = None,
        pipeline: str | None = None,
        deadline: float | None = None,
        cache: bool | None = None,
    ) -> AsyncIterator[ReplyPart]:
        """Yield the reply to a prompt while it comes: parts with ``text``, the last one with the whole ``reply``.

        A reply that is kept comes in one part. A stream that breaks off before its first words
        is tried again; later it raises ``BrokenReplyError``, and what it has cost is charged.

        Args:
            prompt: As for ``complete``.
            max_output_tokens: As for ``complete``.
            parameters: As for ``complete``.
            priority: As for ``complete``.
            pipeline: As for ``complete``.
            deadline: As for ``complete``.
            cache: As for ``complete``.

        Raises:
            TenireError: As for ``complete``.
        """
        request = self._request(prompt, max_output_tokens, None, parameters)
        return stream_reply(partial(self.calls().reply, request, self._manner(priority, pipeline, deadline, cache)))

    async def embed(
        self,
        texts: Sequence[str],
        *,
        dimensions: int | None = None,
        priority: Priority | str | None = None,
        pipeline: str | None = None,
        deadline: float | None = None,
        cache: bool | None = None,
    ) -> list[array[float]]:
        """Return one vector for each text, made by the client's model.

        Texts of all callers go together, in as few requests as the provider and its quota allow.

        Args:
            texts: Any number of them.
            dimensions: Numbers in each vector, if the model lets one choose.
            priority: As for ``complete``.
            pipeline: As for ``complete``.
            deadline: As for ``complete``.
            cache: Whether vectors that are kept are used, and new ones are kept.

        Returns:
            Arrays of 32-bit floats, in the order of the texts; ``numpy.asarray`` takes them.

        Raises:
            TenireError: As for ``complete``. What the other texts have cost is kept.
        """
        manner = self._manner(priority, pipeline, deadline, cache)
        return await self._open().embeddings.embed(
            texts,
            dimensions=dimensions,
            priority=manner.priority,
            pipeline=manner.pipeline,
            deadline=deadline,
            keep=manner.keep,
        )

    async def estimate(
        self,
        prompts: Iterable[Prompt] | AsyncIterable[Prompt],
        *,
        max_output_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Estimate:
        """Return what prompts will take at the most, what is kept left out; nothing is sent.

        Raises:
            ConfigError: If an argument or a prompt is impossible.
        """
        requests = (self._request(prompt, max_output_tokens, schema, parameters) async for prompt in each_of(prompts))
        return await estimate(self._open(), requests, self.calls().accounts(), keep=self._settings.cache)

    def statistics(self) -> ChatStatistics:
        """Return what it has done so far; also once it is closed."""
        return statistics_of(self._session if self._session.closed else self._open())

    def _open(self) -> Session:
        session = self._session
        if session.closed or not session.endpoints:
            state = "closed" if session.closed else "not open"
            message = f"the client is {state}: use it inside of `async with ChatClient(…) as client`"
            raise RejectedError(message)
        return session

    def calls(self) -> Calls:
        """Return what answers prompts."""
        session = self._open()
        if self._calls is None:
            self._calls = Calls(session, [other.calls() for other in self._others])
        return self._calls

    def _request(
        self,
        prompt: Prompt,
        max_output_tokens: int | None,
        schema: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] | None,
    ) -> ChatRequest:
        settings = self._settings
        merged = parameters if not settings.parameters else {**settings.parameters, **(parameters or {})}
        most = settings.max_output_tokens if max_output_tokens is None else max_output_tokens
        return make_request(settings.model, prompt, max_output_tokens=most, schema=schema, parameters=merged)

    def _manner(
        self, priority: Priority | str | None, pipeline: str | None, deadline: float | None, cache: bool | None
    ) -> Manner:
        return self._settings.manner(priority, pipeline, deadline, cache)
