"""One connection, on the engine's side. The rules are in ``server`` and ``session``."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tenire.concurrency.channel.authentication import new_nonce
from tenire.concurrency.channel.frames import FrameBuffer, PeerError
from tenire.concurrency.channel.messages import CALLS_AT_ONCE, Answer, Call, Failure, Refused, pack
from tenire.concurrency.channel.session import ServerSession
from tenire.errors import InternalError, TenireError

if TYPE_CHECKING:
    from tenire.concurrency.channel.server import LoopChannel
    from tenire.concurrency.timer import Timeout

__all__ = ["FRAMES_AT_ONCE", "Peer"]

FRAMES_AT_ONCE = 32

_UNSENT_BYTES = 256 << 10
"""Bytes of answers that wait for a peer to take them, before nothing more is read from it."""

_LINGER_S = 1.0
"""How long a peer that was dropped may take to read why."""

_log = logging.getLogger("tenire.channel")


class Peer(asyncio.Protocol):
    """Reads what one client sends, carries out its calls and answers."""

    def __init__(self, channel: LoopChannel) -> None:
        self._channel = channel
        self._frames = FrameBuffer()
        self._running: dict[asyncio.Task[Any], int] = {}
        self._transport: asyncio.Transport
        self._session: ServerSession
        self._alarm: Timeout | None = None
        self._again: asyncio.Handle | None = None
        self._choked = False
        self._reading = True
        self._dropped = False
        self._lost = False

    @property
    def operations(self) -> list[asyncio.Task[Any]]:
        """The operations that it asked for and that are under way."""
        return list(self._running)

    # -- the transport's calls ------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet who connects, or say why not."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        channel = self._channel
        self._session = ServerSession(channel.key, new_nonce(), channel.clock.now())
        reason = channel.arrived(self)
        if reason is not None:
            # It has said nothing yet, so there is nothing unread that closing could trip over.
            self._dropped = True
            self._transport.write(pack(Refused(reason)))
            self._transport.close()
            return
        self._transport.write(self._session.greeting())
        self._alarm = channel.timer.at(self._session.deadline, self._look)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._dropped:
            return  # it is only being told why
        self._frames.feed(data)
        self._pump()

    def pause_writing(self) -> None:
        """The peer does not take its answers."""
        self._choked = True
        self._mind_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        """Tidy up after a connection, however it ended."""
        self._dropped = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._again is not None:
            self._again.cancel()
        self._lost = True
        for task in self._running:
            task.cancel()
        if not self._running:
            self._channel.left(self)

    # -- frames ---------------------------------------------------------------

    def _pump(self) -> None:
        """Take whole frames until there are none, or it is enough for this turn."""
        if self._again is not None:
            return
        try:
            for _ in range(FRAMES_AT_ONCE):
                if self._full() or self._dropped or (body := self._frames.take()) is None:
                    break
                self._take(body)
            else:
                self._again = asyncio.get_running_loop().call_soon(self._go_on)
        except PeerError as error:
            self._drop(str(error))
        self._mind_reading()

    def _go_on(self) -> None:
        self._again = None
        self._pump()

    def _full(self) -> bool:
        return self._choked or len(self._running) >= CALLS_AT_ONCE

    def _mind_reading(self) -> None:
        """Read while frames can be taken; what was dropped is read to its end and forgotten."""
        wanted = self._dropped or (self._again is None and not self._full())
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _take(self, body: bytes) -> None:
        answer, call = self._session.receive(body, self._channel.clock.now())
        if answer is not None:
            self._transport.write(answer)
        if call is not None:
            self._carry_out(call)

    # -- calls ------------------------------------------------------------------

    def _carry_out(self, call: Call) -> None:
        self._channel.calls += 1
        try:
            value = self._channel.operation(call.operation).start(bytes(call.argument))
        except Exception as error:  # noqa: BLE001 - told to the peer, and logged if it is a bug
            self._send(_failure(call.number, error))
            return
        if inspect.iscoroutine(value):
            task = asyncio.get_running_loop().create_task(value, name=f"tenire control: {call.operation}")
            self._running[task] = call.number
            task.add_done_callback(self._ended)
        else:
            self._send_answer(call.number, value)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        number = self._running.pop(task)
        error = None if task.cancelled() else task.exception()
        if not self._dropped:
            if task.cancelled():
                self._send(Failure(number, "RejectedError", "the operation was cancelled", None))
            elif error is not None:
                self._send(_failure(number, error))
            else:
                self._send_answer(number, task.result())
            self._session.answered(self._channel.clock.now())
            self._pump()
        elif self._lost and not self._running:
            self._channel.left(self)

    def _send_answer(self, number: int, value: Any) -> None:
        try:
            encoded = msgspec.Raw(msgspec.msgpack.encode(value))
        except Exception as error:  # noqa: BLE001 - msgspec raises what the value's own methods raise
            self._send(_failure(number, error))
        else:
            self._send(Answer(number, encoded))

    def _send(self, message: Answer | Failure) -> None:
        try:
            frame = pack(message)
        except PeerError as error:
            frame = pack(Failure(message.number, "RejectedError", f"the answer is too long: {error}", None))
        self._transport.write(frame)

    # -- the end ----------------------------------------------------------------

    def _look(self) -> None:
        """Drop the peer if it was silent for too long; look again when it would have been."""
        channel = self._channel
        now = channel.clock.now()
        if self._running and not self._choked:
            self._session.answered(now)  # it waits for us
        if now >= self._session.deadline:
            self._drop(self._session.silence())
        else:
            self._alarm = channel.timer.at(self._session.deadline, self._look)

    def _drop(self, reason: str) -> None:
        """Tell the peer why, and end the connection."""
        if self._dropped:
            return
        self._dropped = True
        self._channel.note_drop(reason)
        if self._alarm is not None:
            self._alarm.cancel()
        transport = self._transport
        if transport.get_write_buffer_size() or not transport.can_write_eof():
            transport.abort()  # it takes nothing, so it cannot be told either
            return
        transport.write(pack(Refused(reason)))
        # What is still on its way from it has to be read: closing over unread bytes would
        # reset the connection, and take the reason away again.
        transport.write_eof()
        self._alarm = self._channel.timer.after(_LINGER_S, self.abort)
        self._mind_reading()

    def abort(self) -> None:
        """End the connection now."""
        self._dropped = True
        self._transport.abort()


def _failure(number: int, error: BaseException) -> Failure:
    if isinstance(error, TenireError):
        hint = _text(error.hint) if error.hint is not None else None
        return Failure(number, type(error).__name__, _text(str(error)), hint)
    # Here, since clients import this room too.
    from tenire.concurrency.endings import in_words

    _log.error("an operation of the control channel failed", exc_info=error)
    return Failure(number, InternalError.__name__, f"{type(error).__name__}: {_text(in_words(error))}", None)


def _text(text: str) -> str:
    """Return a text that can be sent: names of files may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
