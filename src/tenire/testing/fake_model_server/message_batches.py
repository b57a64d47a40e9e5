"""Batches as Anthropic has them: many messages in one request, answered some time later.

Pure, and looked at only when somebody asks, as OpenAI's in ``batches``:

    in_progress -> ended (``batch_seconds`` later, after ``batch_expires``)
    in_progress -> canceling -> ended (at the next look)

1. Requests are answered in order, evenly over ``batch_seconds``; one that was not reached has
   the result ``expired`` or ``canceled``.
2. A batch that is too large is refused (413), and so is one that is too much beside others (429).
3. Results stand in another order than the requests, and only once the batch has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from tenire.testing.fake_model_server.anthropic import MESSAGES
from tenire.testing.fake_model_server.batch_times import progress
from tenire.testing.fake_model_server.call_errors import CallError, busy, wrong_key

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.http import Request
    from tenire.testing.fake_model_server.provider import Provider

__all__ = ["MessageBatchDesk"]

_INVALID = "invalid_request_error"
_PLACE = "/messages/batches"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAY_S = 86_400.0
_encode = msgspec.json.encode


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    params: msgspec.Raw


class _Asked(msgspec.Struct):
    requests: list[_Line]


@dataclass(slots=True)
class _Batch:
    id: str
    lines: list[_Line]
    began: float
    at: float
    cancelled: float | None = None
    ended_at: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    results: bytes = b""

    def view(self, address: str) -> dict[str, Any]:
        ended = self.ended_at is not None
        going = "canceling" if self.cancelled is not None else "in_progress"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        return {
            "id": self.id, "type": "message_batch", "processing_status": "ended" if ended else going,
            "request_counts": counts | (self.counts if ended else {"processing": len(self.lines)}),
            "created_at": _told(self.at), "expires_at": _told(self.at + _DAY_S),
            "ended_at": _told(self.ended_at), "archived_at": None,
            "cancel_initiated_at": None if self.cancelled is None else _told(self.at + self.cancelled - self.began),
            "results_url": f"{address}/{self.id}/results" if ended else None,
        }  # fmt: skip


class MessageBatchDesk:
    """Takes batches of messages.

    Args:
        provider: Answers each request.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._batches: dict[str, _Batch] = {}
        self._made = 0

    def handle(self, request: Request, key: str | None, now: float) -> tuple[int, bytes] | None:
        """Answer a request, or return ``None`` if it is not for this desk.

        Args:
            request: What came.
            key: That it brought.
            now: Seconds.
        """
        before, found, rest = request.path.partition(_PLACE)
        if not found or rest[:1] not in ("", "/"):
            return None
        host = request.headers.get(b"host", b"localhost").decode("latin-1")
        address = f"http://{host}{before}{_PLACE}"
        try:
            if self._provider.settings.api_key not in (None, key):
                raise wrong_key()
            answer = self._answer(request, rest.strip("/").split("/") if rest.strip("/") else [], address, now)
        except CallError as error:
            return error.status, MESSAGES.error(error)
        return 200, answer if isinstance(answer, bytes) else _encode(answer)

    def _answer(self, request: Request, words: list[str], address: str, now: float) -> Any:
        if not words:
            if request.method == "POST":
                return self._begin(request, now).view(address)
            return self._list(request, address, now)
        batch = self._batches.get(words[0])
        if batch is None:
            raise CallError(404, "not_found_error", f"No such batch: {words[0]}")
        self._look(batch, now)
        ended = batch.ended_at is not None
        if words[1:] == ["results"]:
            if not ended:
                raise CallError(404, "not_found_error", f"Batch {batch.id} has no results before it has ended.")
            return batch.results
        if words[1:] == ["cancel"] and request.method == "POST" and not ended:
            batch.cancelled = now
        if request.method == "DELETE" and not words[1:]:
            if not ended:
                raise CallError(400, _INVALID, f"Batch {batch.id} is in progress: cancel it first.")
            del self._batches[batch.id]
            return {"id": batch.id, "type": "message_batch_deleted"}
        return batch.view(address)

    def _begin(self, request: Request, now: float) -> _Batch:
        settings, size = self._provider.settings, len(request.body)
        if settings.batch_bytes is not None and size > settings.batch_bytes:
            raise CallError(413, "request_too_large", f"A batch of {size} bytes is larger than {settings.batch_bytes}.")
        try:
            lines = msgspec.json.decode(request.body, type=_Asked).requests
        except msgspec.DecodeError as error:
            raise CallError(400, _INVALID, f"requests: {error}") from error
        names = [line.custom_id for line in lines]
        wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
        if not lines or wrong is not None or len(set(names)) < len(names):
            message = f"requests: at least one, each with a custom_id of its own like {_NAME.pattern}, got {wrong!r}"
            raise CallError(400, _INVALID, message)
        self._check_queue(len(lines), now)
        self._made += 1
        batch = _Batch(f"msgbatch_{self._made:06d}", lines, now, self._provider.wall())
        self._batches[batch.id] = batch
        return batch

    def _check_queue(self, lines: int, now: float) -> None:
        most, queued = self._provider.settings.batch_queue, lines
        for batch in self._batches.values():
            self._look(batch, now)
            queued += len(batch.lines) if batch.ended_at is None else 0
        if most is not None and queued > most:
            raise busy(f"{queued} requests of batches would be in the queue, of at most {most}.")

    def _list(self, request: Request, address: str, now: float) -> dict[str, Any]:
        query = parse_qs(request.query)
        most = int(query.get("limit", ["20"])[0])
        every = list(self._batches.values())[::-1]  # the newest first
        after = query.get("after_id", [""])[0]
        start = next((place + 1 for place, batch in enumerate(every) if batch.id == after), 0)
        chosen = every[start : start + most]
        for batch in chosen:
            self._look(batch, now)
        return {
            "data": [batch.view(address) for batch in chosen], "has_more": start + most < len(every),
            "first_id": chosen[0].id if chosen else None, "last_id": chosen[-1].id if chosen else None,
        }  # fmt: skip

    def _look(self, batch: _Batch, now: float) -> None:
        if batch.ended_at is not None:
            return
        far = progress(self._provider.settings, batch.began, batch.cancelled, now)
        if far.ended is None:
            return
        batch.ended_at = batch.at + now - batch.began
        reached = far.lines(len(batch.lines))
        results = [(line.custom_id, self._result(line, now)) for line in batch.lines[:reached]]
        left: dict[str, Any] = {"type": "canceled" if far.ended == "cancelled" else "expired"}
        results += [(line.custom_id, left) for line in batch.lines[reached:]]
        for _, result in results:
            batch.counts[result["type"]] = batch.counts.get(result["type"], 0) + 1
        results.sort(key=lambda one: blake2b(one[0].encode(), digest_size=8).digest())
        batch.results = b"".join(_encode({"custom_id": name, "result": told}) + b"\n" for name, told in results)

    def _result(self, line: _Line, now: float) -> dict[str, Any]:
        status, body = self._provider.answer_line(MESSAGES, bytes(line.params), now)
        told = msgspec.Raw(body)
        return {"type": "succeeded", "message": told} if status == 200 else {"type": "errored", "error": told}


def _told(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
