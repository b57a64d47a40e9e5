"""Files and batches, on a time of the test's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenire.testing.fake_model_server.batches import BatchDesk
from tenire.testing.fake_model_server.http import Request
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.settings import ServerSettings


class Client:
    """Asks a desk and reads its answers."""

    def __init__(self, **settings: Any) -> None:
        self.provider = Provider(ServerSettings.of(**settings), lambda: 1_700_000_000.0)
        self.desk = BatchDesk(self.provider)

    def ask(self, method: str, path: str, data: Any = b"", now: float = 0.0, *, key: str = "", kind: str = "") -> Any:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        path, _, query = path.partition("?")
        answer = self.desk.handle(Request(method, path, query, {b"content-type": kind.encode()}, body), key, now)
        assert answer is not None
        status, told = answer
        if path.endswith("/content"):
            return [json.loads(line) for line in told.splitlines()]
        return json.loads(told) if status == 200 else (status, json.loads(told)["error"]["message"])

    def upload(self, lines: list[Any]) -> str:
        text = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
        form = (
            b'--mark\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            b'--mark\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + text + b"\r\n--mark--\r\n"
        )
        file = self.ask("POST", "/v1/files", form, kind='multipart/form-data; boundary="mark"')
        assert (file["filename"], file["purpose"], file["bytes"]) == ("in.jsonl", "batch", len(text))
        return str(file["id"])

    def submit(self, lines: list[Any], now: float = 0.0) -> str:
        asked = {
            "input_file_id": self.upload(lines), "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "metadata": {"run": "7"},
        }  # fmt: skip
        return str(self.ask("POST", "/v1/batches", asked, now)["id"])

    def look(self, batch: str, now: float) -> Any:
        return self.ask("GET", f"/v1/batches/{batch}", now=now)

    def results(self, file: str | None) -> dict[str, Any]:
        found = self.ask("GET", f"/v1/files/{file}/content") if file else []
        return {result["custom_id"]: result for result in found}


def line(number: int, prompt: str = "Prompt") -> dict[str, Any]:
    body = {"model": "some", "messages": [{"role": "user", "content": f"{prompt} {number}"}]}
    return {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_a_batch_is_answered_some_time_later_line_by_line() -> None:
    client = Client(batch_seconds=100.0)
    batch = client.submit([line(number) for number in range(10)])
    states = [client.look(batch, now)["status"] for now in (0, 9, 11, 89, 91, 99.9, 100)]
    assert states == ["validating"] * 2 + ["in_progress"] * 2 + ["finalizing"] * 2 + ["completed"]
    ended = client.look(batch, 200.0)
    assert ended["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
    assert ended["metadata"] == {"run": "7"}
    assert ended["error_file_id"] is None
    results = client.results(ended["output_file_id"])
    assert set(results) == {f"row-{number}" for number in range(10)}
    assert list(results) != [f"row-{number}" for number in range(10)]
    for number in range(10):
        message = results[f"row-{number}"]["response"]["body"]["choices"][0]["message"]["content"]
        assert f"Prompt {number}" in message
    assert client.provider.statistics(200.0).answered == 10


def test_a_batch_that_nothing_ends_early_is_complete_at_any_time_of_the_day() -> None:
    for now in (0.0, 7.3, 12_345.678, 1.7e9 + 0.3):
        client = Client(batch_seconds=0.05)
        batch = client.submit([line(1)], now)
        assert client.look(batch, now + 1.0)["status"] == "completed"


def test_a_file_that_is_too_large_is_refused_and_a_batch_that_is_too_much_fails() -> None:
    client = Client(batch_seconds=10.0, batch_bytes=1000, batch_queue=3)
    assert client.ask("POST", "/v1/batches", {})[0] == 400
    first = client.submit([line(1), line(2)])
    second = client.look(client.submit([line(3), line(4)]), 1.0)
    assert (second["status"], second["errors"]["data"][0]["code"]) == ("failed", "token_limit_exceeded")
    assert client.look(first, 10.0)["status"] == "completed"
    assert client.look(client.submit([line(3), line(4)], 10.0), 20.0)["status"] == "completed"
    form = (
        b'--mark\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--mark\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
        + b"x" * 1001 + b"\r\n--mark--\r\n"
    )  # fmt: skip
    status, message = client.ask("POST", "/v1/files", form, kind='multipart/form-data; boundary="mark"')
    assert (status, "1001 bytes" in message) == (413, True)


def test_lines_that_fail_stand_in_the_error_file() -> None:
    client = Client(batch_seconds=1.0, faults={"error_500": 0.3}, poison="arsenic", poison_answer="400", seed=2)
    batch = client.submit([*(line(number) for number in range(40)), line(40, "arsenic")])
    ended = client.look(batch, 5.0)
    good, bad = client.results(ended["output_file_id"]), client.results(ended["error_file_id"])
    assert ended["request_counts"] == {"total": 41, "completed": len(good), "failed": len(bad)}
    assert 5 < len(bad) < 20
    assert len(good) + len(bad) == 41
    assert bad["row-40"]["response"]["status_code"] == 400
    assert {result["response"]["status_code"] for result in bad.values()} == {400, 500}


def test_an_expired_batch_keeps_what_was_answered() -> None:
    client = Client(batch_seconds=100.0, batch_expires=45.0)
    batch = client.submit([line(number) for number in range(10)])
    assert client.look(batch, 44.0)["status"] == "in_progress"
    ended = client.look(batch, 45.0)
    assert ended["status"] == "expired"
    assert set(client.results(ended["output_file_id"])) == {f"row-{number}" for number in range(4)}
    left = client.results(ended["error_file_id"])
    assert set(left) == {f"row-{number}" for number in range(4, 10)}
    assert {result["error"]["code"] for result in left.values()} == {"batch_expired"}
    assert client.look(batch, 500.0) == ended


def test_a_cancelled_batch_keeps_what_was_answered() -> None:
    client = Client(batch_seconds=100.0)
    batch = client.submit([line(number) for number in range(10)])
    assert client.ask("POST", f"/v1/batches/{batch}/cancel", now=31.0)["status"] == "cancelling"
    ended = client.look(batch, 60.0)
    assert ended["status"] == "cancelled"
    assert set(client.results(ended["output_file_id"])) == {f"row-{number}" for number in range(3)}
    assert ended["error_file_id"] is None
    assert client.ask("POST", f"/v1/batches/{batch}/cancel", now=70.0) == ended


@pytest.mark.parametrize(
    ("lines", "code", "at"),
    [
        ([line(1), b"{no json"], "invalid_json_line", 2),
        ([line(1), line(1)], "duplicate_custom_id", 2),
        ([line(1) | {"url": "/v1/embeddings"}], "mismatched_endpoint", 1),
        ([], "empty_file", None),
    ],
)
def test_a_bad_file_fails_as_a_whole_and_says_where(lines: list[Any], code: str, at: int | None) -> None:
    client = Client()
    failed = client.look(client.submit(lines), 10.0)
    assert failed["status"] == "failed"
    assert [(error["code"], error["line"]) for error in failed["errors"]["data"]] == [(code, at)]


def test_batches_are_listed_page_by_page_the_newest_first() -> None:
    client = Client()
    batches = [client.submit([line(number)]) for number in range(5)]
    first = client.ask("GET", "/v1/batches?limit=3")
    assert [batch["id"] for batch in first["data"]] == batches[:1:-1]
    assert first["has_more"]
    rest = client.ask("GET", f"/v1/batches?limit=3&after={first['last_id']}")
    assert ([batch["id"] for batch in rest["data"]], rest["has_more"]) == (batches[1::-1], False)


def test_files_can_be_listed_and_deleted() -> None:
    client = Client()
    file = client.upload([line(1)])
    assert [told["id"] for told in client.ask("GET", "/v1/files")["data"]] == [file]
    assert client.ask("DELETE", f"/v1/files/{file}")["deleted"]
    assert client.ask("GET", f"/v1/files/{file}") == (404, f"No such File object: {file}")


def test_what_is_not_there_or_not_allowed_is_refused() -> None:
    client = Client(api_key="right")
    assert client.ask("GET", "/v1/files", key="wrong")[0] == 401
    assert client.ask("GET", "/v1/batches/none", key="right")[0] == 404
    assert client.ask("POST", "/v1/files", b"", key="right")[0] == 400
    assert client.ask("POST", "/v1/batches", {"input_file_id": "none"}, key="right")[0] == 400
    assert client.desk.handle(Request("GET", "/v1/other", "", {}, b""), "right", 0.0) is None
