from __future__ import annotations

import json
from email.message import Message
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest

from tenire.core.retrying import Kind
from tenire.errors import (
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    InternalError,
    RejectedError,
    WorkerDiedError,
)
from tenire.resilience.failures import Failure, Judge
from tenire.resilience.retry_after import retry_after

WALL = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def wall() -> float:
    return WALL


class AiohttpError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HttpxError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        found = {name.replace("_", "-").title(): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, headers=found)


class OpenaiError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.response = SimpleNamespace(
            status_code=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


def urllib_error(status: int, **headers: str) -> HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return HTTPError("http://127.0.0.1", status, "no", message, None)


CLIENTS = [AiohttpError, HttpxError, OpenaiError, urllib_error]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (400, Kind.PERMANENT, "ok"),
        (401, Kind.PERMANENT, "ok"),
        (404, Kind.PERMANENT, "ok"),
        (408, Kind.TRANSIENT, "failure"),
        (429, Kind.OVERLOAD, "failure"),
        (500, Kind.TRANSIENT, "failure"),
        (501, Kind.PERMANENT, "ok"),
        (502, Kind.TRANSIENT, "failure"),
        (503, Kind.OVERLOAD, "failure"),
        (504, Kind.TRANSIENT, "failure"),
        (529, Kind.OVERLOAD, "failure"),
        (599, Kind.TRANSIENT, "failure"),
    ],
)
def test_a_status_is_found_where_the_clients_keep_it(client: Any, status: int, kind: Kind, outcome: str) -> None:
    failure = Judge(wall=wall)(client(status))
    assert (failure.kind, failure.outcome) == (kind, outcome)


@pytest.mark.parametrize("client", CLIENTS)
def test_so_is_what_the_server_says_about_the_next_try(client: Any) -> None:
    judge = Judge(wall=wall)
    assert judge(client(429, retry_after="7")).retry_after == 7.0
    assert judge(client(503, retry_after="7", retry_after_ms="1500")).retry_after == 1.5
    assert judge(client(500)).retry_after == 0.0


def test_a_server_may_overrule_the_status() -> None:
    judge = Judge(wall=wall)
    assert judge(OpenaiError(409, x_should_retry="true")).kind is Kind.TRANSIENT
    assert judge(OpenaiError(500, x_should_retry="false")).kind is Kind.PERMANENT
    assert judge(OpenaiError(429, x_should_retry="true")).kind is Kind.OVERLOAD


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), Kind.TRANSIENT),
        (TimeoutError(), Kind.TRANSIENT),
        (OSError(), Kind.TRANSIENT),
        (EOFError(), Kind.TRANSIENT),
        (RuntimeError("whatever"), Kind.TRANSIENT),
        (json.JSONDecodeError("cut off", "{", 1), Kind.TRANSIENT),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "broken"), Kind.TRANSIENT),
        (CallTimeoutError("x", call="f"), Kind.TRANSIENT),
        (WorkerDiedError("x", task="f"), Kind.TRANSIENT),
        (ValueError(), Kind.PERMANENT),
        (KeyError("x"), Kind.PERMANENT),
        (TypeError(), Kind.PERMANENT),
        (ZeroDivisionError(), Kind.PERMANENT),
        (FileNotFoundError(), Kind.PERMANENT),
        (InternalError(), Kind.PERMANENT),
        (RejectedError("closing"), Kind.PERMANENT),
        (CircuitOpenError("open"), Kind.PERMANENT),
        (ConfigError("wrong"), Kind.PERMANENT),
    ],
)
def test_without_a_status_mistakes_and_refusals_are_permanent_and_all_else_is_transient(
    error: Exception, kind: Kind
) -> None:
    failure = Judge(wall=wall)(error)
    assert failure.kind is kind
    assert failure.outcome == ("failure" if kind is Kind.TRANSIENT else "cancelled")


def test_what_is_named_by_hand_is_worth_another_try_and_nothing_else_is() -> None:
    judge = Judge(on=(ValueError, AiohttpError), wall=wall)
    assert judge(ValueError()).kind is Kind.TRANSIENT
    assert judge(ConnectionError()).kind is Kind.PERMANENT
    assert judge(AiohttpError(404)).kind is Kind.PERMANENT
    assert judge(AiohttpError(503)).kind is Kind.OVERLOAD


def test_the_caller_s_opinion_counts_first() -> None:
    judge = Judge(classify=lambda error: Kind.POISON if isinstance(error, OSError) else None, wall=wall)
    assert judge(OSError()).kind is Kind.POISON
    assert judge(OSError()).outcome == "cancelled"
    assert judge(RuntimeError()).kind is Kind.TRANSIENT


def test_the_caller_may_say_all_that_there_is_to_say() -> None:
    said = Failure(Kind.TRANSIENT, retry_after=3.0, outcome="cancelled", may_be_the_call=True)
    assert Judge(classify=lambda _: said, wall=wall)(AiohttpError(500)) is said


@pytest.mark.parametrize(("seconds", "kept"), [(3, 3.0), (2.5, 2.5), (True, 0.0), (-1, 0.0), ("3", 0.0), (1e999, 0.0)])
def test_an_exception_of_one_s_own_may_say_when_to_come_back(seconds: object, kept: float) -> None:
    error = RuntimeError()
    error.retry_after = seconds  # type: ignore[attr-defined]
    assert Judge(wall=wall)(error).retry_after == kept


@pytest.mark.parametrize("status", [True, "429", 200, 0, 99, 700, None])
def test_what_is_no_status_of_a_failure_is_not_taken_for_one(status: object) -> None:
    error = RuntimeError()
    error.status = status  # type: ignore[attr-defined]
    assert Judge(wall=wall)(error).kind is Kind.TRANSIENT


def test_a_reply_that_is_false_is_a_reply() -> None:
    class Reply:
        status_code = 404

        def __bool__(self) -> bool:
            return False

    error = RuntimeError()
    error.response = Reply()  # type: ignore[attr-defined]
    assert Judge(wall=wall)(error).kind is Kind.PERMANENT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:12:20 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "later", "retry-after": "1"}, 1.0),
        (None, None),
        ("retry-after: 7", None),
        (["retry-after"], None),
    ],
)
def test_what_headers_say_about_the_next_try(headers: object, seconds: float | None) -> None:
    assert retry_after(headers, wall) == seconds
