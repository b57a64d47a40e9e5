"""Awaiting Qt's signals."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.gui.binding import QtCore, SignalInstance

__all__ = ["emitted"]


def emitted(signal: SignalInstance, *, sender: QtCore.QObject | None = None) -> asyncio.Future[Any]:
    """Return a future of the next time that a signal is emitted.

    ``result = await emitted(dialog.finished)``: it counts from this call on. The result is
    what the signal carries: ``None`` for nothing, the value for one, a tuple for several.
    It works on any loop, so ``asyncio.timeout`` and cancelling do what they always do.

    Args:
        signal: The signal of an object.
        sender: That object, if it may be destroyed meanwhile: then the future fails
            with a ``RuntimeError`` instead of never ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def end(values: tuple[Any, ...], error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(values[0] if len(values) == 1 else values or None)

    def arrive(*values: Any) -> None:
        loop.call_soon_threadsafe(end, values, None)

    def lose(*_: object) -> None:
        loop.call_soon_threadsafe(end, (), RuntimeError("the sender was destroyed before it emitted the signal"))

    def leave(_: object) -> None:
        # Whoever is destroyed has no connections any more, which the bindings take for a mistake.
        for each, slot in connected:
            with contextlib.suppress(RuntimeError, TypeError):
                each.disconnect(slot)

    connected = [(signal, arrive)] if sender is None else [(signal, arrive), (sender.destroyed, lose)]
    for each, slot in connected:
        each.connect(slot)
    future.add_done_callback(leave)
    return future
