"""Spans by OpenTelemetry: the only room that knows it, loaded when somebody asks for spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Spans"]


class Spans:
    """Begins and ends spans.

    Args:
        provider: OpenTelemetry's tracer provider; ``None`` for the one of the process.

    Raises:
        MissingExtraError: If OpenTelemetry is not installed.
    """

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import context, trace
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise MissingExtraError("tracing", extra="telemetry", missing="opentelemetry-api") from error
        self._attach = context.attach
        self._detach = context.detach
        self._inside = trace.set_span_in_context
        self._failed = trace.StatusCode.ERROR
        self._tracer = trace.get_tracer("tenire", tracer_provider=provider)

    def begin(self, name: str, attributes: Mapping[str, str | int | float]) -> Any:
        """Begin a span within the one that is open here, and have it be the open one in this context."""
        span = self._tracer.start_span(name, attributes=attributes)
        return span, self._attach(self._inside(span))

    def end(self, begun: Any, *, failed: str | None = None, here: bool = False) -> None:
        """End a span.

        Args:
            begun: What ``begin`` returned.
            failed: Why it counts as failed, in a word, or ``None``.
            here: Whether this is the context where it began, which may go on without it.
        """
        span, token = begun
        if here:
            self._detach(token)
        if failed is not None:
            span.set_status(self._failed, failed)
        span.end()
