"""Spans of tasks, with as much of OpenTelemetry's API as is used standing in for it."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import engine

from tenire import Retry
from tenire.errors import MissingExtraError
from tenire.observe.tracing import Spans

if TYPE_CHECKING:
    from tenire import ConcurrencyManager

OPEN: ContextVar[Any] = ContextVar("open", default=None)


class Span:
    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.attributes = attributes
        self.parent = OPEN.get()
        self.status: tuple[Any, str] | None = None
        self.ended = 0

    def set_status(self, status: Any, description: str) -> None:
        self.status = status, description

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """The spans that were begun, in order."""
    begun: list[Span] = []

    def start_span(name: str, *, attributes: dict[str, Any]) -> Span:
        begun.append(Span(name, attributes))
        return begun[-1]

    package = ModuleType("opentelemetry")
    package.context = SimpleNamespace(attach=OPEN.set, detach=OPEN.reset)  # type: ignore[attr-defined]
    package.trace = SimpleNamespace(  # type: ignore[attr-defined]
        set_span_in_context=lambda span: span,
        StatusCode=Enum("StatusCode", ["ERROR"]),
        get_tracer=lambda name, tracer_provider: SimpleNamespace(start_span=start_span),
    )
    monkeypatch.setitem(sys.modules, "opentelemetry", package)
    return begun


def test_each_try_is_a_span_inside_the_one_where_the_task_was_submitted(spans: list[Span]) -> None:
    inside: list[Any] = []

    def on_thread() -> None:
        inside.append(OPEN.get())

    async def on_loop() -> None:
        inside.append(OPEN.get())
        raise ValueError("a private text")

    async def scenario(manager: ConcurrencyManager) -> None:
        manager.orchestrator.trace()
        OPEN.set("outer")
        await manager.submit(on_thread, pipeline="docs", priority="high")
        with pytest.raises(ValueError, match="private"):
            await manager.submit(on_loop, retry=Retry(attempts=2, backoff=0.001))
        nap = manager.submit(asyncio.sleep, 60)
        await asyncio.sleep(0.01)
        nap.cancel()
        await asyncio.sleep(0)

    engine(scenario)
    thread, first, second, nap = spans
    assert inside == [thread, first, second]
    assert [span.parent for span in spans] == ["outer"] * 4
    assert [span.ended for span in spans] == [1] * 4
    assert [span.status and (span.status[0].name, span.status[1]) for span in spans] == [
        None, ("ERROR", "retried"), ("ERROR", "ValueError"), ("ERROR", "cancelled"),
    ]  # fmt: skip
    assert (thread.attributes["tenire.pipeline"], thread.attributes["tenire.priority"]) == ("docs", 1)
    assert [first.attributes["tenire.attempt"], second.attributes["tenire.attempt"]] == [1, 2]
    assert nap.attributes["tenire.waited_s"] >= 0


def test_a_span_does_not_count_as_having_seen_a_failure(spans: list[Span], caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("nobody looked")

    async def scenario(manager: ConcurrencyManager) -> None:
        manager.orchestrator.trace()
        manager.submit(fail, name="lost")

    engine(scenario)
    assert spans[0].ended == 1
    assert "lost" in caplog.text


def test_without_opentelemetry_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match="tracing needs opentelemetry-api") as caught:
        Spans()
    assert caught.value.hint == 'run: pip install "tenire[telemetry]"'
