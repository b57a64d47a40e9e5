"""The part of a client that asks in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.core.batch_choice import Mode
from tenire.errors import ConfigError
from tenire.llm.batches.asking import Asking, BatchLimits
from tenire.llm.batches.desk import MOST_BYTES, MOST_LINES

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping

    from tenire.core.tasks import Priority
    from tenire.llm.calls import Calls
    from tenire.llm.endpoint import Manner
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import Reply
    from tenire.llm.requests import Prompt
    from tenire.llm.session import Session

__all__ = ["AsksInBatches"]


class AsksInBatches(ABC):
    """What a client needs in order to ask in batches, and how it does."""

    def batch(
        self,
        prompts: Iterable[Prompt] | AsyncIterable[Prompt],
        *,
        mode: str = "batch",
        max_output_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        priority: Priority | str | None = None,
        pipeline: str | None = None,
        deadline: float | None = None,
        cache: bool | None = None,
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
    ) -> AsyncIterator[Reply]:
        """Yield the replies to prompts, each with its ``index``, which the provider answers in batches.

        That costs half, and takes up to a day. The replies go into the home, so the client needs
        one. Batches go on when the program ends; the next one that asks the same waits for
        them, and hands over nothing twice. A prompt takes about 300 bytes of memory until it is
        answered.

        Args:
            prompts: As for ``map``. A prompt that comes twice is answered once.
            mode: ``batch``; ``realtime``, which is ``map``; or ``auto``: in batches what may take
                that long and is cheaper so, and at once everything else, or all of it if the
                provider takes no batches.
            max_output_tokens: As for ``complete``.
            schema: As for ``complete``. A reply that does not follow it is asked for again.
            parameters: As for ``complete``.
            priority: As for ``complete``, of what is asked at once.
            pipeline: As for ``complete``.
            deadline: Seconds until all replies must be there, with ``auto`` and ``realtime``.
            cache: Whether prompts may be answered by what is kept; replies are kept in any case.
            most_lines: Most prompts of one batch.
            most_bytes: Most bytes of its file.

        Raises:
            AuthenticationError: If the key is not accepted.
            BudgetError: If it could cost more than may be spent.
            ModelError: If the provider takes no batches, with ``batch``.
            ConfigError: If an argument is impossible.
        """
        chosen = _mode(mode)
        if deadline is not None and chosen is Mode.BATCH:
            message = "a batch takes as long as it takes, and cannot have a deadline"
            raise ConfigError(message, key="deadline", hint="use mode='auto'")
        limits = BatchLimits(most_lines, most_bytes)
        make = partial(self._request, max_output_tokens=max_output_tokens, schema=schema, parameters=parameters)
        make("")  # what is wrong with all prompts is said at once
        asking = Asking(
            self._open(),
            self.calls(),
            mode=chosen,
            manner=self._manner(priority, pipeline, deadline, cache),
            make=make,
            schema=schema,
            limits=limits,
        )
        return asking.replies(prompts)

    async def cancel_batches(self, pipeline: str | None = None) -> int:
        """Have the provider cancel the batches of a pipeline, of this program and of others.

        Leave ``batch`` after that. What a cancelled batch has finished is paid for, and kept by
        the next ``batch``.

        Args:
            pipeline: Its name; default: the client's.

        Returns:
            How many there are.
        """
        session = self._open()
        name = session.settings.pipeline if pipeline is None else pipeline
        log = session.books.log
        return 0 if log is None else await log.run(lambda ledger, _: ledger.provider_batches.give_up(name))

    @abstractmethod
    def calls(self) -> Calls:
        """Return what answers prompts."""

    @abstractmethod
    def _open(self) -> Session: ...

    @abstractmethod
    def _request(
        self,
        prompt: Prompt,
        max_output_tokens: int | None,
        schema: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] | None,
    ) -> ChatRequest: ...

    @abstractmethod
    def _manner(
        self, priority: Priority | str | None, pipeline: str | None, deadline: float | None, cache: bool | None
    ) -> Manner: ...


def _mode(mode: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        raise ConfigError(f"mode must be batch, realtime or auto, got {mode!r}", key="mode") from None
