"""The batch API of Anthropic: many messages in one request, answered within a day.

What is different from OpenAI's: there are no files, so that the requests go out when a batch
is made, and its results are read under its own name. And a batch bears no mark: one whose
making was not answered is known again by what it holds. That can be read once it has ended.
Until then one with as many requests, made since, is taken for ours, and its name begins with
``?``: it is waited for, and neither cancelled nor deleted, as it may be somebody else's. Once it
has ended it is looked for again.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.concurrency.blocking import run_blocking
from tenire.errors import ModelError
from tenire.llm.batches.files import opened
from tenire.llm.batches.provider import MAYBE, BatchView, LineResult
from tenire.llm.batches.wire import call_of_line, encode_line, object_of, request_of_body, results_at
from tenire.llm.dialects import NoReplyError
from tenire.llm.failures import broken, no_reply, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from tenire.llm.batches.provider import LostBatch
    from tenire.llm.dialects import AnthropicDialect
    from tenire.llm.records import ChatRequest
    from tenire.llm.transport import HttpTransport

__all__ = ["AnthropicBatches"]

_PATH = "/messages/batches"
_PAGE = 100
_SLACK_S = 300.0  # by which the provider's clock and ours may differ
_STATES = {"in_progress": "in_progress", "canceling": "cancelling", "ended": "completed"}
_NOT_REACHED = frozenset({"canceled", "expired"})
_STATUSES = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip
_HEAD, _TAIL = b'{"requests":[', b"]}"
_PIECE = 1 << 20


class AnthropicBatches:
    """Batches of messages of one provider.

    Args:
        transport: The way to it.
        dialect: In which requests are written.

    Attributes:
        window: Seconds after which a batch has ended.
    """

    window = 86_400.0

    def __init__(self, transport: HttpTransport, dialect: AnthropicDialect) -> None:
        self._transport = transport
        self._dialect = dialect

    def line(self, key: bytes, request: ChatRequest) -> bytes:
        """Return the line of a request.

        It is what is sent, but for messages that cannot be told from that: they stand before it.
        """
        line: dict[str, Any] = {"custom_id": key.hex()}
        params = self._dialect.chat(request)
        if _messages(params) != list(request.messages):
            line["messages"] = request.messages
        line["params"] = params
        return encode_line(self._transport, self._dialect.chat_path, line, request)

    def request(self, line: bytes) -> ChatRequest:
        """Return the request of a line."""
        asked = _decode_asked(line)
        return request_of_body(asked.params, _messages(asked.params) if asked.messages is None else asked.messages)

    async def upload(self, name: str, path: Path) -> str:
        """Return the name: requests are sent when their batch is made."""
        return name

    async def create(self, file: str, mark: str, path: Path) -> BatchView:
        """Send requests, and have them worked on."""
        async with opened(lambda: path.open("rb")) as lines:
            size = await run_blocking(_size, lines)
            told = await self._ask("a batch", "POST", _PATH, sized=(size, _body(lines)))
        return self._view(told)

    async def look(self, batch: str) -> BatchView:
        """Return how far a batch is."""
        told = await self._ask("a batch", "GET", f"{_PATH}/{_plain(batch)}")
        return self._view(told, maybe=batch.startswith(MAYBE))

    async def find(self, lost: LostBatch) -> BatchView | None:
        """Return the batch that holds our requests; its name says if that cannot be told yet."""
        keys = await run_blocking(_keys, lost.path)
        # Of those that others wait for without being sure, one may be ours.
        taken = {name for name in lost.others if not name.startswith(MAYBE)}
        waited_for = {_plain(name) for name in lost.others}
        found: BatchView | None = None
        async for told in self._since(lost.made_at - _SLACK_S):
            view = self._view(told)
            if view.id in taken or not keys or view.total != len(keys):
                continue
            if view.ended and await self._holds(view, keys):
                return view
            if not view.ended and view.id not in waited_for:  # the oldest: it was made right after we asked for ours
                found = self._view(told, maybe=True)
        return found

    async def cancel(self, batch: str) -> None:
        """Have a batch ended, if it is ours."""
        if not batch.startswith(MAYBE):
            await self._ask("a cancelled batch", "POST", f"{_PATH}/{batch}/cancel", {})

    def results(self, file: str) -> AsyncIterator[Sequence[bytes]]:
        """Yield the lines of the results of a batch, some at a time."""
        return results_at(self._transport, f"{_PATH}/{_plain(file)}/results")

    def read(self, line: bytes, prompt: bytes | None) -> LineResult | None:
        """Read a line of results."""
        try:
            told = _decode_line(line)
            key = bytes.fromhex(told.custom_id)
        except (msgspec.DecodeError, ValueError):
            return None
        result = told.result
        if result.type in _NOT_REACHED:
            return LineResult(key)
        asked = None if prompt is None else _decode_asked(prompt).params
        call = call_of_line(self._transport, self._dialect.chat_path, asked)
        if result.type == "succeeded":
            try:
                return LineResult(key, self._dialect.reply(bytes(result.message), None))
            except NoReplyError as caught:
                return LineResult(key, error=no_reply(call, caught, {}))
        if result.type == "errored":
            return LineResult(key, error=refusal(call, _status(result.error), {}, msgspec.json.encode(result.error)))
        return LineResult(key, error=ModelError(call.message("no answer (no reason given)")))

    async def delete(self, file: str) -> None:
        """Delete a batch with its results; of ours only."""
        if file.startswith("msgbatch"):
            await self._ask("a deleted batch", "DELETE", f"{_PATH}/{file}")

    async def _since(self, since: float) -> AsyncIterator[Mapping[str, Any]]:
        """Yield batches that were made since a time, the newest first."""
        after = ""
        while True:
            page = await self._ask("a list of batches", "GET", f"{_PATH}?limit={_PAGE}{after}")
            entries = page.get("data")
            every = [one for one in (entries if isinstance(entries, list) else ()) if isinstance(one, dict)]
            for told in every:
                if self._view(told).created_at >= since:
                    yield told
            if not every or not page.get("has_more") or self._view(every[-1]).created_at < since:
                return
            after = f"&after_id={self._view(every[-1]).id}"

    async def _holds(self, view: BatchView, keys: frozenset[str]) -> bool:
        """Return whether results are those of our requests; the first one tells."""
        results: Any = self.results(view.id)
        async with aclosing(results):
            async for lines in results:
                with suppress(msgspec.DecodeError):
                    return _decode_line(lines[0]).custom_id in keys
        return False

    async def _ask(self, expected: str, method: str, path: str, data: Any = None, **options: Any) -> dict[str, Any]:
        async with self._transport.exchange(expected, method, path, data, **options) as answer:
            raw = await answer.read()
        return object_of(raw, self._transport.call_of(expected, path))

    def _view(self, told: Mapping[str, Any], *, maybe: bool = False) -> BatchView:
        name, counts = told.get("id"), told.get("request_counts")
        if not isinstance(name, str) or not name:
            raise broken(self._transport.call_of("a batch", _PATH), "JSON without an id")
        counts = {kind: n for kind, n in counts.items() if isinstance(n, int)} if isinstance(counts, dict) else {}
        status = str(told.get("processing_status") or "")
        status = _STATES.get(status, status)
        name = f"{MAYBE}{name}" if maybe else name
        return BatchView(
            name,
            status,
            results=(name,) if status == "completed" and told.get("archived_at") is None else (),
            created_at=_seconds(told.get("created_at")),
            total=sum(counts.values()),
            completed=counts.get("succeeded", 0),
            failed=counts.get("errored", 0),
        )


class _Asked(msgspec.Struct):
    custom_id: str
    params: dict[str, Any]
    messages: list[dict[str, Any]] | None = None


class _Named(msgspec.Struct):
    custom_id: str


class _Result(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result


_decode_asked = msgspec.json.Decoder(_Asked).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def _messages(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request as they most likely were given."""
    system = [{"role": "system", "content": block.get("text")} for block in params.get("system", ())]
    return [*system, *params["messages"]]


def _size(lines: IO[bytes]) -> int:
    """Return how many bytes are sent for the lines of a file."""
    size = number = 0
    for line in lines:
        size += len(_sent(line))
        number += 1
    lines.seek(0)
    return len(_HEAD) + size + max(0, number - 1) + len(_TAIL)


async def _body(lines: IO[bytes]) -> AsyncIterator[bytes]:
    yield _HEAD
    between = b""
    while some := await run_blocking(lines.readlines, _PIECE):
        yield between + b",".join(map(_sent, some))
        between = b","
    yield _TAIL


def _sent(line: bytes) -> bytes:
    """Return what is sent for a line: all of it, but for messages that stand before it."""
    if not line.startswith(b'"messages":', line.find(b'",') + 2):
        return line
    asked = _decode_asked(line)
    return msgspec.json.encode({"custom_id": asked.custom_id, "params": asked.params})


def _keys(path: Path) -> frozenset[str]:
    """Return the names of the requests of a file; none if it is lost."""
    with suppress(OSError), path.open("rb") as lines:
        return frozenset(_names(lines))
    return frozenset()


def _names(lines: IO[bytes]) -> Iterator[str]:
    for line in lines:
        with suppress(msgspec.DecodeError):
            yield _decode_named(line).custom_id


def _plain(name: str) -> str:
    return name.removeprefix(MAYBE)


def _status(error: Any) -> int:
    inner = error.get("error") if isinstance(error, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    return _STATUSES.get(kind, 500) if isinstance(kind, str) else 500


def _seconds(value: Any) -> float:
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    except (AttributeError, ValueError):
        return 0.0
