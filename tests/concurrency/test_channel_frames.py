from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency.channel.authentication import matches, new_key, new_nonce, prove
from tenire.concurrency.channel.frames import HEAD_BYTES, MOST_BYTES, FrameBuffer, PeerError, seal
from tenire.concurrency.channel.messages import Call, Hello, Ping, Refused, from_client, from_server, pack


def framed(body: bytes) -> bytes:
    frame = bytearray(HEAD_BYTES) + body
    seal(frame)
    return bytes(frame)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 700), min_size=1))
def test_frames_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(body) for body in bodies)
    buffer, found, at, turn = FrameBuffer(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        buffer.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
        while (body := buffer.take()) is not None:
            found.append(body)
        buffer.check()
    assert found == bodies
    assert len(buffer) == 0


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1), st.integers(0, 5))
def test_frames_that_are_taken_slowly_are_the_same(bodies: list[bytes], at_once: int) -> None:
    buffer, found = FrameBuffer(), list[bytes | None]()
    for body in bodies:
        buffer.feed(framed(body))
        found += [buffer.take() for _ in range(at_once)]
    found += [buffer.take() for _ in bodies]
    buffer.check()
    assert [taken for taken in found if taken is not None] == bodies


@pytest.mark.parametrize("length", [0, MOST_BYTES + 1, (1 << 32) - 1])
def test_an_impossible_length_is_refused_before_anything_is_kept(length: int) -> None:
    buffer = FrameBuffer()
    buffer.feed(struct.pack(">I", length))
    with pytest.raises(PeerError, match="expected a frame of 1 to 1,048,576 bytes"):
        buffer.take()


def test_the_longest_frame_fits_and_one_byte_more_does_not() -> None:
    longest = framed(bytes(MOST_BYTES))
    buffer = FrameBuffer()
    buffer.feed(longest[:-1])
    assert buffer.take() is None
    buffer.feed(longest[-1:])
    assert buffer.take() == bytes(MOST_BYTES)
    with pytest.raises(PeerError, match="got one of 1,048,577"):
        framed(bytes(MOST_BYTES + 1))


def test_each_end_reads_only_what_the_other_may_say() -> None:
    ping, refused = bytes(pack(Ping()))[HEAD_BYTES:], bytes(pack(Refused("no")))[HEAD_BYTES:]
    assert from_client(ping) == Ping()
    assert from_server(refused) == Refused("no")
    for read, body in ((from_server, ping), (from_client, refused)):
        with pytest.raises(PeerError, match="expected a message of the control channel"):
            read(body)


@pytest.mark.parametrize(
    "said",
    [
        ["call", 1, "x", None, "one more"], ["call", 1, "x"], ["call", -1, "x", None], ["call", 1 << 60, "x", None],
        ["call", 1, "", None], ["call", 1, "x" * 65, None], ["call", True, "x", None], ["proof", b"short", bytes(32)],
        ["proof", "x" * 32, bytes(32)], {"type": "ping"}, ["ping", 1], ["nothing"], [], None, 5, ["call"],
    ],
)  # fmt: skip
def test_a_message_that_is_nearly_right_is_refused(said: object) -> None:
    with pytest.raises(PeerError):
        from_client(msgspec.msgpack.encode(said))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_refused_or_read(body: bytes) -> None:
    try:
        from_client(body)
    except PeerError:
        return
    assert body[:1] >= b"\x91"


def test_a_call_keeps_its_argument_as_it_is() -> None:
    argument = msgspec.msgpack.encode({"a": 1})
    call = from_client(bytes(pack(Call(3, "echo", msgspec.Raw(argument))))[HEAD_BYTES:])
    assert isinstance(call, Call)
    assert (call.number, call.operation, bytes(call.argument)) == (3, "echo", argument)
    assert isinstance(from_server(bytes(pack(Hello(1, new_nonce())))[HEAD_BYTES:]), Hello)


def test_a_proof_holds_for_one_key_one_end_and_one_pair_of_nonces() -> None:
    key, ours, theirs = new_key(), new_nonce(), new_nonce()
    proofs = [
        prove(key, "client", ours, theirs), prove(key, "server", ours, theirs), prove(key, "client", theirs, ours),
        prove(new_key(), "client", ours, theirs), prove(key, "client", new_nonce(), theirs),
        prove(key, "client", ours, new_nonce()),
    ]  # fmt: skip
    assert len(set(proofs)) == len(proofs)
    assert {len(proof) for proof in proofs} == {32}
    assert matches(proofs[0], prove(key, "client", ours, theirs))
    assert not any(matches(proofs[0], other) for other in proofs[1:])
