"""Where the two ends of a control channel meet: real sockets, real files."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency.blocking import acquire_blocking
from tenire.concurrency.channel import ChannelClient, LoopChannel, endpoint, server
from tenire.concurrency.channel.endpoint import KEY_FILE, PORT_FILE, SOCKET_FILE, listen
from tenire.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows listens on a port")


def run(directory: Path, scenario: Callable[[LoopChannel], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
            channel = LoopChannel(directory, timer=manager.timer)
            channel.register("echo", lambda value: value, takes=Any)
            async with channel:
                return await scenario(channel)

    return asyncio.run(main())


async def echo(directory: Path, value: Any = 1) -> Any:
    async with ChannelClient(directory) as client:
        return await client.call("echo", value)


def modes(directory: Path) -> dict[str, int]:
    return {entry.name: stat.S_IMODE(entry.lstat().st_mode) for entry in directory.iterdir()}


def test_a_client_away_from_an_engine_has_a_timer_of_its_own_and_closes_it(tmp_path: Path) -> None:
    async def scenario(channel: LoopChannel) -> None:
        async with ChannelClient(tmp_path) as client:
            assert await client.call("echo", 1) == 1
            own = client._timer
            assert own is not None
            assert (own is channel.timer, len(own)) == (False, 1), "the heartbeat"
        assert not own.after(60.0, lambda: None).active

    run(tmp_path, scenario)


@needs_unix
def test_socket_and_key_are_the_owners_alone_and_leave_with_the_engine(tmp_path: Path) -> None:
    async def scenario(channel: LoopChannel) -> None:
        assert modes(tmp_path) == {KEY_FILE: 0o600, SOCKET_FILE: 0o600}
        assert await echo(tmp_path, "x" * 500_000) == "x" * 500_000
        assert channel.statistics().dropped == 0

    before = os.umask(0)
    try:
        run(tmp_path, scenario)
    finally:
        os.umask(before)
    assert modes(tmp_path) == {}


@needs_unix
@pytest.mark.parametrize("length", [60, 100, 110, 250], ids=str)
def test_a_path_of_any_length_will_do(tmp_path: Path, length: int) -> None:
    directory = tmp_path / ("d" * max(1, length - len(str(tmp_path)) - len(SOCKET_FILE) - 2))
    directory.mkdir()

    async def scenario(_: LoopChannel) -> None:
        assert modes(directory)[KEY_FILE] == 0o600
        assert await echo(directory) == 1

    run(directory, scenario)
    assert modes(directory) == {}


@pytest.mark.parametrize("why", ["no Unix sockets", "no short name", "a file system without sockets"])
def test_where_there_is_no_socket_a_port_of_this_machine_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    directory = tmp_path / ("d" * 150) if why == "no short name" else tmp_path
    directory.mkdir(exist_ok=True)
    if why == "no Unix sockets":
        monkeypatch.setattr(endpoint, "_HAS_UNIX", False)
    monkeypatch.setattr(endpoint, "_OWN_DESCRIPTORS", tmp_path / "nothing")
    if why == "a file system without sockets":
        monkeypatch.setattr(endpoint.os, "chmod", _refused)  # as bind itself would be

    async def scenario(channel: LoopChannel) -> None:
        port = int((directory / PORT_FILE).read_text())
        if sys.platform != "win32":
            assert (modes(directory)[KEY_FILE], modes(directory)[PORT_FILE]) == (0o600, 0o600)
        assert await echo(directory) == 1
        assert channel._listener is not None
        assert channel._listener.socket.getsockname() == ("127.0.0.1", port)

    run(directory, scenario)
    assert modes(directory) == {}


def _refused(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_what_a_killed_engine_left_is_replaced(tmp_path: Path) -> None:
    left = listen(tmp_path)
    left.socket.close()  # the files stay, as after kill -9
    old_key = (tmp_path / KEY_FILE).read_text()

    async def scenario(_: LoopChannel) -> None:
        assert (tmp_path / KEY_FILE).read_text() != old_key
        assert await echo(tmp_path) == 1

    with pytest.raises(ChannelError, match="is gone, and left its socket behind"):
        asyncio.run(echo(tmp_path))
    run(tmp_path, scenario)


def test_without_an_engine_the_error_says_so(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ChannelError, match="no engine listens on") as caught:
            asyncio.run(echo(directory))
        assert "tenire status" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (KEY_FILE, "", "expected 64 hexadecimal digits"), (KEY_FILE, "zz" * 32, "expected 64 hexadecimal digits"),
        (KEY_FILE, "ab" * 31, "expected 64 hexadecimal digits"), (PORT_FILE, "", "expected the number of a port"),
        (PORT_FILE, "99999", "expected the number of a port"), (PORT_FILE, "²", "expected the number of a port"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_its_key_is_not_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    async def scenario(_: LoopChannel) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ChannelError, match=told) as caught:
            await asyncio.to_thread(endpoint._dial, tmp_path)
        assert name in str(caught.value)
        assert "zz" not in str(caught.value)

    run(tmp_path, scenario)


@needs_unix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_key_of_somebody_else_cannot_be_used(tmp_path: Path) -> None:
    async def scenario(_: LoopChannel) -> None:
        (tmp_path / KEY_FILE).chmod(0)
        with pytest.raises(ChannelError, match="Permission denied"):
            await echo(tmp_path)

    run(tmp_path, scenario)


def test_who_sees_a_key_finds_somebody_who_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = endpoint._bound

    def watched(directory: Path) -> socket.socket:
        assert not (directory / KEY_FILE).exists()
        return bound(directory)

    monkeypatch.setattr(endpoint, "_bound", watched)
    listener = listen(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == listener.key.hex()
    listener.close()


@pytest.mark.parametrize("part", ["_bound", "_write"])
def test_a_listener_that_cannot_be_made_whole_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(endpoint, part, full)
    with pytest.raises(OSError, match="No space"):
        listen(tmp_path)
    assert modes(tmp_path) == {}


@needs_unix
def test_a_directory_that_cannot_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen(tmp_path / "nowhere")
    (tmp_path / SOCKET_FILE).mkdir()  # cannot be replaced, nor listened on, so a port serves
    listener = listen(tmp_path)
    assert listener.socket.family == socket.AF_INET
    listener.close()
    assert sorted(os.listdir(tmp_path)) == [SOCKET_FILE]


def test_a_key_that_is_not_the_engines_is_refused_by_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(channel: LoopChannel) -> None:
        (tmp_path / KEY_FILE).write_text("ab" * 32)
        with pytest.raises(ChannelError, match="refused the connection: the key is not this engine's"):
            await echo(tmp_path)
        assert channel.statistics().calls == 0

    run(tmp_path, scenario)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "dropped a peer" in line


def test_a_channel_that_could_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("tenire.concurrency.channel.server.serve", broken)

    async def scenario(_: LoopChannel) -> None:
        raise AssertionError("it started")

    with pytest.raises(OSError, match="Too many open files"):
        run(tmp_path, scenario)
    assert modes(tmp_path) == {}


@pytest.mark.parametrize("port", [False, True], ids=["socket", "port"])
def test_a_start_that_is_cancelled_as_it_begins_to_accept_leaves_nothing_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, port: bool
) -> None:
    if port:
        monkeypatch.setattr(endpoint, "_HAS_UNIX", False)
    numbers: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        serve = endpoint.serve

        async def serve_and_be_cancelled(listener: Any, protocol: Any) -> Any:
            numbers.append(listener.socket.fileno())
            loop.call_soon(starting.cancel)
            return await serve(listener, protocol)

        monkeypatch.setattr(server, "serve", serve_and_be_cancelled)
        async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
            starting = loop.create_task(LoopChannel(tmp_path, timer=manager.timer).start())
            await asyncio.wait([starting])
            assert starting.cancelled()
            # Whoever gets this number next would be taken for one that is watched already, and never heard.
            assert not loop.remove_reader(numbers[0])

    # It is asyncio's own loop that went on watching: in uvloop's nothing can come between.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert modes(tmp_path) == {}


def test_what_a_thread_made_is_undone_if_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        began = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(directory: Path) -> Any:
            listener = listen(directory)
            loop.call_soon_threadsafe(began.set)
            return listener

        starting = asyncio.create_task(acquire_blocking(partial(slowly, tmp_path), lambda listener: listener.close()))
        await began.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(main())
    assert modes(tmp_path) == {}
