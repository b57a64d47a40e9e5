"""Batches of messages, on a time of the test's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenire.testing.fake_model_server.http import Request
from tenire.testing.fake_model_server.message_batches import MessageBatchDesk
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.settings import ServerSettings

PLACE = "/v1/messages/batches"


class Client:
    """Asks a desk and reads its answers."""

    def __init__(self, **settings: Any) -> None:
        self.provider = Provider(ServerSettings.of(**settings), lambda: 1_700_000_000.0)
        self.desk = MessageBatchDesk(self.provider)

    def ask(self, method: str, path: str, data: Any = None, now: float = 0.0, *, key: str = "") -> Any:
        body = b"" if data is None else json.dumps(data).encode()
        path, _, query = path.partition("?")
        answer = self.desk.handle(Request(method, PLACE + path, query, {}, body), key, now)
        assert answer is not None
        status, told = answer
        if path.endswith("/results") and status == 200:
            return {line["custom_id"]: line["result"] for line in map(json.loads, told.splitlines())}
        return json.loads(told) if status == 200 else (status, json.loads(told)["error"])

    def submit(self, lines: list[dict[str, Any]], now: float = 0.0) -> str:
        return str(self.ask("POST", "", {"requests": lines}, now)["id"])


def line(number: int, prompt: str = "Prompt") -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{prompt} {number}"}]
    return {"custom_id": f"row-{number}", "params": {"model": "some", "max_tokens": 20, "messages": messages}}


LINES = [line(number) for number in range(10)]


def test_a_batch_is_answered_some_time_later() -> None:
    client = Client(batch_seconds=100.0)
    batch = client.submit(LINES)
    for now in (0, 50, 99.9):
        view = client.ask("GET", f"/{batch}", now=now)
        assert (view["processing_status"], view["results_url"]) == ("in_progress", None)
        assert view["request_counts"]["processing"] == 10
    assert client.ask("GET", f"/{batch}/results", now=99.9)[0] == 404
    view = client.ask("GET", f"/{batch}", now=100)
    assert view["processing_status"] == "ended"
    assert view["request_counts"] == {"processing": 0, "succeeded": 10, "errored": 0, "canceled": 0, "expired": 0}
    assert (view["created_at"], view["ended_at"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z")
    results = client.ask("GET", f"/{batch}/results", now=100)
    assert sorted(results) == [f"row-{number}" for number in range(10)]
    assert list(results) != sorted(results)
    for number in range(10):
        assert f"Prompt {number}" in results[f"row-{number}"]["message"]["content"][0]["text"]


def test_requests_that_fail_say_so() -> None:
    client = Client(batch_seconds=1.0, faults={"error_500": 0.3}, poison="arsenic", poison_answer="400", seed=2)
    batch = client.submit([*LINES, line(40, "arsenic")])
    view = client.ask("GET", f"/{batch}", now=5.0)
    results = client.ask("GET", f"/{batch}/results", now=5.0)
    failed = [result for result in results.values() if result["type"] == "errored"]
    assert view["request_counts"]["errored"] == len(failed)
    assert 1 < len(failed) < 9
    assert results["row-40"]["error"]["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("left", "settings"), [("expired", {"batch_expires": 45.0}), ("canceled", {})])
def test_a_batch_that_ends_early_keeps_what_was_answered(left: str, settings: dict[str, float]) -> None:
    client = Client(batch_seconds=100.0, **settings)
    batch = client.submit(LINES)
    if left == "canceled":
        assert client.ask("POST", f"/{batch}/cancel", now=45.0)["processing_status"] == "canceling"
    view = client.ask("GET", f"/{batch}", now=46.0)
    assert (view["processing_status"], view["request_counts"]["succeeded"]) == ("ended", 4)
    results = client.ask("GET", f"/{batch}/results", now=46.0)
    assert sum(result["type"] == left for result in results.values()) == 6


def test_what_is_no_batch_or_too_much_is_refused() -> None:
    client = Client(batch_bytes=2000, batch_queue=12, api_key="right")

    def refused(data: Any, **options: Any) -> int:
        return int(client.ask("POST", "", data, **{"key": "right", **options})[0])

    assert refused({"requests": LINES}, key="wrong") == 401
    assert refused({"requests": []}) == 400
    assert refused({}) == 400
    assert refused({"requests": [line(1), line(1)]}) == 400
    assert refused({"requests": [line(1) | {"custom_id": "no blanks"}]}) == 400
    assert refused({"requests": LINES * 3}) == 413
    first = client.ask("POST", "", {"requests": LINES}, key="right")["id"]
    assert refused({"requests": LINES}) == 429
    assert client.ask("DELETE", f"/{first}", key="right")[0] == 400
    assert client.ask("DELETE", f"/{first}", now=9.0, key="right")["type"] == "message_batch_deleted"
    assert client.ask("GET", f"/{first}", now=9.0, key="right")[0] == 404
    assert client.desk.handle(Request("GET", "/v1/batches", "", {}, b""), "right", 0.0) is None


def test_batches_are_listed_page_by_page_the_newest_first() -> None:
    client = Client()
    names = [client.submit([line(number)]) for number in range(5)][::-1]
    first = client.ask("GET", "?limit=3")
    assert [one["id"] for one in first["data"]] == names[:3]
    rest = client.ask("GET", f"?limit=3&after_id={first['last_id']}")
    assert [one["id"] for one in rest["data"]] == names[3:]
    assert (first["has_more"], rest["has_more"]) == (True, False)
