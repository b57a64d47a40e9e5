"""The batch API of OpenAI, which Azure and others have too: files of calls, answered within a day."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec

from tenire.errors import ModelError
from tenire.llm.batches.files import opened
from tenire.llm.batches.provider import BatchView, LineResult
from tenire.llm.batches.wire import call_of_line, encode_line, object_of, request_of_body, results_at
from tenire.llm.dialects import NoReplyError
from tenire.llm.failures import Call, broken, no_reply, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from tenire.llm.batches.provider import LostBatch
    from tenire.llm.dialects import OpenAIDialect
    from tenire.llm.records import ChatRequest
    from tenire.llm.transport import HttpTransport

__all__ = ["OpenAIBatches"]

_MARK = "tenire_batch"  # the name in a batch's metadata under which our mark stands

_WINDOW = "24h"
_PAGE = 100
_SLACK_S = 86_400.0  # by which the provider's clock and ours may differ
_NOT_REACHED = frozenset({"batch_expired", "batch_cancelled"})


class OpenAIBatches:
    """Files and batches of one provider.

    Args:
        transport: The way to it.
        dialect: In which calls are written.

    Attributes:
        window: Seconds after which a batch has ended.
    """

    window = 86_400.0

    def __init__(self, transport: HttpTransport, dialect: OpenAIDialect) -> None:
        self._transport = transport
        self._dialect = dialect
        self._url = "/chat/completions" if transport.address.azure else "/v1/chat/completions"

    def line(self, key: bytes, request: ChatRequest) -> bytes:
        """Return the line of a request."""
        line = {"custom_id": key.hex(), "method": "POST", "url": self._url, "body": self._dialect.chat(request)}
        return encode_line(self._transport, self._dialect.chat_path, line, request)

    def request(self, line: bytes) -> ChatRequest:
        """Return the request of a line."""
        return request_of_body(msgspec.json.decode(line, type=_Asked).body)

    async def upload(self, name: str, path: Path) -> str:
        """Send a file of lines; return the provider's name for it."""
        async with opened(lambda: path.open("rb")) as file:
            told = await self._ask("an uploaded file", "POST", "/files", {"purpose": "batch"}, file=(name, file))
        return _name(told, self._transport.call_of("an uploaded file", "/files"))

    async def create(self, file: str, mark: str, path: Path) -> BatchView:
        """Have a file worked on."""
        asked = {
            "input_file_id": file,
            "endpoint": self._url,
            "completion_window": _WINDOW,
            "metadata": {_MARK: mark},
        }
        return self._view(await self._ask("a batch", "POST", "/batches", asked))

    async def look(self, batch: str) -> BatchView:
        """Return how far a batch is."""
        return self._view(await self._ask("a batch", "GET", f"/batches/{batch}"))

    async def find(self, lost: LostBatch) -> BatchView | None:
        """Return the batch with our mark, or of our file."""
        after = ""
        while True:
            page = await self._ask("a list of batches", "GET", f"/batches?limit={_PAGE}{after}")
            entries = page.get("data")
            views = [self._view(entry) for entry in (entries if isinstance(entries, list) else ())]
            for view in views:
                if view.mark == lost.mark or (lost.file and view.input_file == lost.file):
                    return view
            # The newest come first.
            if not views or not page.get("has_more") or views[-1].created_at < lost.made_at - _SLACK_S:
                return None
            after = f"&after={views[-1].id}"

    async def cancel(self, batch: str) -> None:
        """Have a batch ended."""
        await self._ask("a cancelled batch", "POST", f"/batches/{batch}/cancel", {})

    def results(self, file: str) -> AsyncIterator[Sequence[bytes]]:
        """Yield the lines of a file of results, some at a time."""
        return results_at(self._transport, f"/files/{file}/content")

    def read(self, line: bytes, prompt: bytes | None) -> LineResult | None:
        """Read a line of results."""
        try:
            told = _decode_line(line)
            key = bytes.fromhex(told.custom_id)
        except (msgspec.DecodeError, ValueError):
            return None
        asked = None if prompt is None else msgspec.json.decode(prompt, type=_Asked).body
        call = call_of_line(self._transport, self._dialect.chat_path, asked)
        response, code = told.response, _code(told.error)
        if response is None:
            if code in _NOT_REACHED:
                return LineResult(key)
            message = call.message(f"no answer ({code or 'no reason given'})")
            return LineResult(key, error=ModelError(message, code=code))
        if response.status_code >= 300:
            return LineResult(key, error=refusal(call, response.status_code, {}, bytes(response.body)))
        try:
            return LineResult(key, self._dialect.reply(bytes(response.body), None))
        except NoReplyError as caught:
            return LineResult(key, error=no_reply(call, caught, {}))

    async def delete(self, file: str) -> None:
        """Delete a file."""
        await self._ask("a deleted file", "DELETE", f"/files/{file}")

    async def _ask(
        self, expected: str, method: str, path: str, data: Any = None, *, file: tuple[str, IO[bytes]] | None = None
    ) -> dict[str, Any]:
        async with self._transport.exchange(expected, method, path, data, file=file) as answer:
            raw = await answer.read()
        return object_of(raw, self._transport.call_of(expected, path))

    def _view(self, told: Mapping[str, Any]) -> BatchView:
        counts = told.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        errors = told.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else None
        mark = told.get("metadata")
        files = (told.get("output_file_id"), told.get("error_file_id"))
        return BatchView(
            _name(told, self._transport.call_of("a batch", "/batches")),
            str(told.get("status") or ""),
            str(mark.get(_MARK) or "") if isinstance(mark, dict) else "",
            str(told.get("input_file_id") or ""),
            tuple(file for file in files if isinstance(file, str) and file),
            _number(told.get("created_at")),
            int(_number(counts.get("total"))),
            int(_number(counts.get("completed"))),
            int(_number(counts.get("failed"))),
            tuple(
                (str(one.get("code") or ""), str(one.get("message") or ""))
                for one in (listed if isinstance(listed, list) else ())
                if isinstance(one, dict)
            ),
        )


class _Asked(msgspec.Struct):
    body: dict[str, Any]


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_decode_line = msgspec.json.Decoder(_Line).decode


def _code(error: Any) -> str | None:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _name(told: Mapping[str, Any], call: Call) -> str:
    name = told.get("id")
    if not isinstance(name, str) or not name:
        raise broken(call, "JSON without an id")
    return name


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and value >= 0 else 0.0
