"""Files and batches as OpenAI has them: many calls in one file, answered some time later.

Pure: a request and the time in, a response out. A batch is looked at only when
somebody asks, so its state is a function of the time:

    validating (1/10) -> in_progress -> finalizing (last 1/10) -> completed
                      -> expired (after ``batch_expires``), cancelled; failed (a bad file)

1. Lines are answered in order, evenly over ``batch_seconds``; a batch that expires or is
   cancelled keeps those answered until then.
2. A file that is too large is refused (413); a batch that is too much beside the others fails.
3. A line that fails, by chance or poison, stands in the error file; so does each that expired.
4. Results stand in another order than the lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from tenire.testing.fake_model_server.batch_times import progress
from tenire.testing.fake_model_server.call_errors import CallError, wrong_key
from tenire.testing.fake_model_server.http import read_form
from tenire.testing.fake_model_server.openai import CHAT, EMBEDDINGS

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.calls import Dialect
    from tenire.testing.fake_model_server.http import Request
    from tenire.testing.fake_model_server.provider import Provider

__all__ = ["BatchDesk"]

_DIALECTS: dict[str, Dialect] = {"/v1/chat/completions": CHAT, "/v1/embeddings": EMBEDDINGS}
_EDGE = 0.1
_ENDED = ("completed", "failed", "expired", "cancelled")
_encode = msgspec.json.encode


@dataclass(slots=True)
class _File:
    id: str
    name: str
    purpose: str
    data: bytes
    at: int

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.at,
            "filename": self.name, "purpose": self.purpose, "status": "processed",
        }  # fmt: skip


@dataclass(slots=True)
class _Batch:
    id: str
    asked: dict[str, Any]
    lines: list[dict[str, Any]]
    began: float
    at: int
    errors: list[dict[str, Any]] = field(default_factory=list)
    cancelled: float | None = None
    status: str = "validating"
    done: int = 0
    failed: int = 0
    output: str | None = None
    error: str | None = None

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": "batch", "endpoint": self.asked["endpoint"],
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.asked["input_file_id"], "completion_window": self.asked["completion_window"],
            "status": self.status, "output_file_id": self.output, "error_file_id": self.error,
            "created_at": self.at, "metadata": self.asked.get("metadata"),
            "request_counts": {"total": len(self.lines), "completed": self.done, "failed": self.failed},
        }  # fmt: skip


class BatchDesk:
    """Takes files and batches.

    Args:
        provider: Answers each line.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._files: dict[str, _File] = {}
        self._batches: dict[str, _Batch] = {}

    def handle(self, request: Request, key: str | None, now: float) -> tuple[int, bytes] | None:
        """Answer a request, or return ``None`` if it is not for this desk.

        Args:
            request: What came.
            key: That it brought.
            now: Seconds.
        """
        words = request.path.strip("/").split("/")
        found = next((place for place, word in enumerate(words) if word in ("files", "batches")), None)
        if found is None:
            return None
        room, rest = words[found], words[found + 1 :]
        try:
            if self._provider.settings.api_key not in (None, key):
                raise wrong_key()
            answer = self._file(request, rest) if room == "files" else self._batch(request, rest, now)
        except CallError as error:
            return error.status, CHAT.error(error)
        return 200, answer if isinstance(answer, bytes) else _encode(answer)

    def _file(self, request: Request, words: list[str]) -> Any:
        if not words:
            if request.method == "POST":
                return self._upload(request).view()
            return {"object": "list", "data": [file.view() for file in self._files.values()], "has_more": False}
        file = self._files.get(words[0])
        if file is None:
            raise CallError(404, "invalid_request_error", f"No such File object: {words[0]}")
        if words[1:] == ["content"]:
            return file.data
        if request.method == "DELETE":
            del self._files[file.id]
            return {"id": file.id, "object": "file", "deleted": True}
        return file.view()

    def _upload(self, request: Request) -> _File:
        parts = read_form(request)
        if "file" not in parts or "purpose" not in parts:
            message = "expected multipart/form-data with the parts 'file' and 'purpose'"
            raise CallError(400, "invalid_request_error", message)
        name, data = parts["file"]
        most = self._provider.settings.batch_bytes
        if most is not None and len(data) > most:
            raise CallError(413, "invalid_request_error", f"The file of {len(data)} bytes is larger than {most}.")
        return self._keep(name or "upload", parts["purpose"][1].decode(errors="replace"), data)

    def _keep(self, name: str, purpose: str, data: bytes) -> _File:
        place = len(self._files) + sum(batch.done for batch in self._batches.values())
        mark = blake2b(b"%d/%d/" % (self._provider.settings.seed, place) + data, digest_size=8).hexdigest()
        file = _File(f"file-{mark}", name, purpose, data, int(self._provider.wall()))
        self._files[file.id] = file
        return file

    def _batch(self, request: Request, words: list[str], now: float) -> Any:
        if not words:
            return self._begin(request, now).view() if request.method == "POST" else self._list(request, now)
        batch = self._batches.get(words[0])
        if batch is None:
            raise CallError(404, "invalid_request_error", f"No such Batch object: {words[0]}")
        self._look(batch, now)
        if words[1:] == ["cancel"] and request.method == "POST" and batch.status not in _ENDED:
            batch.cancelled = now
            batch.status = "cancelling"
        return batch.view()

    def _list(self, request: Request, now: float) -> dict[str, Any]:
        query = parse_qs(request.query)
        most = int(query.get("limit", ["20"])[0])
        every = list(self._batches.values())[::-1]  # the newest first
        after = query.get("after", [""])[0]
        start = next((place + 1 for place, batch in enumerate(every) if batch.id == after), 0)
        chosen = every[start : start + most]
        for batch in chosen:
            self._look(batch, now)
        return {
            "object": "list", "data": [batch.view() for batch in chosen], "has_more": start + most < len(every),
            "first_id": chosen[0].id if chosen else None, "last_id": chosen[-1].id if chosen else None,
        }  # fmt: skip

    def _begin(self, request: Request, now: float) -> _Batch:
        try:
            asked = msgspec.json.decode(request.body, type=dict[str, Any])
            file = self._files[asked["input_file_id"]]
            endpoint, _ = asked["endpoint"], asked["completion_window"]
        except (msgspec.DecodeError, KeyError) as error:
            message = f"expected input_file_id (of a file that is there), endpoint and completion_window: {error}"
            raise CallError(400, "invalid_request_error", message) from error
        number = len(self._batches) + 1
        batch = _Batch(f"batch_{number:06d}", asked, [], now, int(self._provider.wall()))
        self._batches[batch.id] = batch
        batch.lines, batch.errors = _lines(file.data, endpoint)
        self._check_queue(batch, now)
        if batch.errors:
            batch.status = "failed"
        return batch

    def _check_queue(self, new: _Batch, now: float) -> None:
        most, queued = self._provider.settings.batch_queue, 0
        for batch in self._batches.values():
            self._look(batch, now)
            queued += 0 if batch.status in _ENDED else len(batch.lines)
        if most is not None and queued > most and not new.errors:
            message = f"Enqueued token limit reached: {queued} lines of at most {most}."
            new.errors = [{"code": "token_limit_exceeded", "message": message, "line": None, "param": None}]

    def _look(self, batch: _Batch, now: float) -> None:
        if batch.status in _ENDED:
            return
        far = progress(self._provider.settings, batch.began, batch.cancelled, now)
        count = far.lines(len(batch.lines))
        if far.ended is None:
            part = far.part
            batch.status = "validating" if part < _EDGE else "finalizing" if part > 1 - _EDGE else "in_progress"
            batch.done = count
            return
        batch.status = far.ended
        self._finish(batch, count, now)

    def _finish(self, batch: _Batch, count: int, now: float) -> None:
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        dialect = _DIALECTS[batch.asked["endpoint"]]
        for line in batch.lines[:count]:
            status, body = self._provider.answer_line(dialect, _encode(line["body"]), now)
            result = {
                "id": f"{batch.id}_{line['custom_id']}", "custom_id": line["custom_id"], "error": None,
                "response": {"status_code": status, "request_id": "", "body": msgspec.Raw(body)},
            }  # fmt: skip
            (good if status == 200 else bad).append(result)
        batch.done, batch.failed = len(good), len(bad)
        if batch.status == "expired":
            told = {"code": "batch_expired", "message": "This request could not be executed before the batch expired."}
            left = batch.lines[count:]
            bad += [{"id": "", "custom_id": line["custom_id"], "response": None, "error": told} for line in left]
        batch.output = self._results(batch, "output", good)
        batch.error = self._results(batch, "error", bad)

    def _results(self, batch: _Batch, kind: str, results: list[dict[str, Any]]) -> str | None:
        if not results:
            return None
        results.sort(key=lambda result: blake2b(result["custom_id"].encode(), digest_size=8).digest())
        data = b"".join(_encode(result) + b"\n" for result in results)
        return self._keep(f"{batch.id}_{kind}.jsonl", f"batch_{kind}", data).id


def _lines(data: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of a batch, and what is wrong with them."""
    lines: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()

    def wrong(code: str, message: str, line: int | None = None) -> None:
        errors.append({"code": code, "message": message, "line": line, "param": None})

    if endpoint not in _DIALECTS:
        wrong("invalid_endpoint", f"expected one of {', '.join(_DIALECTS)}, got {endpoint!r}")
        return lines, errors
    for number, text in enumerate(data.splitlines(), 1):
        try:
            line = msgspec.json.decode(text, type=dict[str, Any])
            name, url = line["custom_id"], line["url"]
            lines.append({"custom_id": name, "body": line["body"]})
        except (msgspec.DecodeError, KeyError) as error:
            wrong("invalid_json_line", f"expected custom_id, method, url and body: {error}", number)
            continue
        if url != endpoint:
            wrong("mismatched_endpoint", f"expected {endpoint}, got {url}", number)
        if name in seen:
            wrong("duplicate_custom_id", f"this custom_id was there before: {name}", number)
        seen.add(name)
    if not lines and not errors:
        wrong("empty_file", "the input file has no lines")
    return lines, errors
