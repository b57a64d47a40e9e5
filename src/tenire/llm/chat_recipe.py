"""What a chat pipeline does to its rows: a prompt from each, and the model's reply to it.

====================================  ==============================================
what happens                          what becomes of it
====================================  ==============================================
the server refuses the request, or    the row goes to quarantine
it never comes to an answer
the prompt is too long                the row goes to quarantine, or its texts are cut
a call costs more than the quota      the row goes to quarantine, with the numbers
can ever give
a wrong key, an unknown model,        the pipeline ends: it would be the same for
no money left                         every other row
====================================  ==============================================
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tenire.errors import (
    AuthenticationError,
    BudgetError,
    CallError,
    ContextLengthError,
    ModelError,
    RejectedError,
    TenireError,
    UnknownModelError,
)
from tenire.llm.shortening import shorter
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.template import MissingFieldError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.llm.asked_ahead import AskedAhead
    from tenire.llm.replies import Reply
    from tenire.pipeline.rows.records import Row
    from tenire.pipeline.rows.template import Template

__all__ = ["ChatRecipe", "Complete"]

_MOST_CUTS = 8
"""Times that a prompt is cut before the row is given up."""

_TOO_LONG = 'shorten the prompt, ask for fewer output tokens, or set on_too_long = "shorten"'

_STOPS = (AuthenticationError, UnknownModelError, BudgetError)


class Complete(Protocol):
    """Asks the model once, with all that makes a call safe around it."""

    async def __call__(self, prompt: Sequence[Mapping[str, str]]) -> Reply:
        """Return the reply.

        Raises:
            TenireError: If there is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatRecipe:
    """One chat pipeline's recipe.

    Attributes:
        key: The setting that holds the prompt, for messages.
        complete: Asks the model.
        model: Its name at the provider.
        prompt: The prompt of each row.
        system: What goes before it as the system's message, or ``None``.
        shorten: Whether texts of a row are cut if its prompt is too long.
        asked: Whatever else decides the reply, for example ``max_output_tokens``.
        ahead: What was asked before in batches, or ``None``.
    """

    key: str
    complete: Complete
    model: str
    prompt: Template
    system: Template | None = None
    shorten: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)
    ahead: AskedAhead | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a row must have."""
        return (*self.prompt.fields, *(self.system.fields if self.system is not None else ()))

    @property
    def policy(self) -> str:
        """What decides, besides the request, whether a row is answered."""
        return "shorten" if self.shorten else ""

    def request(self, row: Row) -> str:
        """Return a hash of the request.

        Raises:
            RowError: If the row lacks a field.
        """
        whole = [self.model, self.messages(row.fields), dict(self.asked)]
        text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def messages(self, fields: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the prompt of a row.

        Raises:
            RowError: If the row lacks a field.
        """
        try:
            messages = [{"role": "user", "content": self.prompt.render(fields)}]
            if self.system is not None:
                messages.insert(0, {"role": "system", "content": self.system.render(fields)})
        except MissingFieldError as error:
            raise RowError(str(error), stage="prompt") from error
        return messages

    async def answer(self, row: Row) -> Mapping[str, Any]:
        """Return the output of a row.

        Raises:
            RowError: If this row gets none.
            TenireError: If none can get one any more.
        """
        refused = None if self.ahead is None else self.ahead.refused(self, row)
        if refused is not None:
            raise _refusal(refused) from refused
        fields, cuts = row.fields, _MOST_CUTS if self.shorten else 0
        while True:
            try:
                return await self._ask(fields)
            except _STOPS:
                raise
            except (ModelError, CallError, RejectedError) as error:
                if not isinstance(error, ContextLengthError):
                    raise _refusal(error) from error
                cut = shorter(fields, self.fields, str(error)) if cuts else None
                if cut is None:
                    if not self.shorten:
                        error.hint = _TOO_LONG
                    raise _refusal(error) from error
                fields, cuts = cut, cuts - 1

    async def _ask(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        reply = await self.complete(self.messages(fields))
        if self.ahead is not None:
            self.ahead.use(reply)
        usage = reply.usage
        return {
            "output": reply.text if reply.data is None else reply.data,
            "usage": {
                "input_tokens": usage.input_tokens if usage is not None else None,
                "output_tokens": usage.output_tokens if usage is not None else None,
            },
        }


def _refusal(error: TenireError) -> RowError:
    hint = f" ({error.hint})" if error.hint else ""
    # A call that was ended by its guard counts what it began, and that no answer came is why it was ended.
    answers = error.tries if isinstance(error, ModelError) else 0
    return RowError(f"{error}{hint}", stage="call", attempts=answers)
