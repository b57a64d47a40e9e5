from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency.pools.frames import Message, dump, dump_small, pack, receive, send, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

PARTS = st.lists(
    st.one_of(st.binary(max_size=200), st.integers(0, 90_000).map(lambda size: b"\x07" * size)), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def pipe() -> Iterator[tuple[Connection[Any, Any], Connection[Any, Any]]]:
    one, other = multiprocessing.Pipe()
    yield one, other
    one.close()
    other.close()


def joined(pieces: list[bytes | memoryview]) -> bytes:
    return b"".join(pieces)


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), PARTS)
def test_a_message_arrives_as_it_was(
    pipe: tuple[Connection[Any, Any], Connection[Any, Any]], tag: int, number: int, parts: list[bytes]
) -> None:
    one, other = pipe
    pieces = pack(tag, number, parts)
    sender = threading.Thread(target=send, args=(one, pieces))
    sender.start()
    message = receive(other)
    sender.join()
    assert message == Message(tag, number, [bytearray(part) for part in parts])
    assert (len(pieces) == 1) == (sum(map(len, parts)) <= 32 << 10)


@given(PARTS, st.data())
def test_a_beginning_is_told_from_the_whole_and_can_be_read_on(
    pipe: tuple[Connection[Any, Any], Connection[Any, Any]], parts: list[bytes], data: st.DataObject
) -> None:
    one, other = pipe
    whole = joined(pack(3, 9, parts))
    cut = data.draw(st.integers(1, len(whole)))
    expected = Message(3, 9, [bytearray(part) for part in parts])
    assert unpack(whole) == expected
    if cut < len(whole):
        assert unpack(whole[:cut]) is None
    sender = threading.Thread(target=send, args=(one, [whole[cut:]] if cut < len(whole) else []))
    sender.start()
    assert receive(other, whole[:cut]) == expected
    sender.join()


def test_an_end_in_the_middle_is_an_end() -> None:
    for cut in (0, 5, 20, 60):
        one, other = multiprocessing.Pipe()
        with one, other:
            os.write(one.fileno(), joined(pack(1, 0, [b"x" * 100]))[:cut])
            one.close()
            with pytest.raises(EOFError):
                receive(other)


def test_buffers_travel_beside_the_pickle_and_arrive_writable() -> None:
    numpy = pytest.importorskip("numpy")
    for size in (10, 100_000):
        parts = dump(numpy.arange(size))
        assert len(parts) == 2
        message = unpack(joined(pack(1, 0, parts)))
        assert message is not None
        array = pickle.loads(message.parts[0], buffers=message.parts[1:])
        array[0] = 7
        assert array.tolist() == [7, *range(1, size)]
        assert array.flags.aligned


LONG = st.integers(0, 30_000).map(lambda size: b"z" * size)


@given(st.lists(st.one_of(LONG, st.text(max_size=100), st.integers()), max_size=6))
def test_what_is_small_is_dumped_as_ever_and_what_is_large_not_at_all(values: list[Any]) -> None:
    parts, small = dump(values), dump_small(values)
    size = sum(len(part) for part in parts)
    if small is None:
        assert size > 30 << 10
    else:
        assert pickle.loads(small[0], buffers=small[1:]) == values
        assert size < 34 << 10


def test_a_large_value_is_told_by_its_size() -> None:
    assert dump_small(b"z" * 20_000) is not None
    assert dump_small([b"z" * 20_000, "é" * 8_000]) is None


def test_dumping_a_large_array_as_small_is_given_up() -> None:
    numpy = pytest.importorskip("numpy")
    assert dump_small(numpy.zeros(10_000)) is None
    small = dump_small(numpy.zeros(100))
    assert small is not None
    assert len(small) == 2
