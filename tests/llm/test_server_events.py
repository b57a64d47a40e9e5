from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.llm import server_events
from tenire.llm.server_events import EventTooLongError, ServerEvents


def read(*pieces: bytes) -> list[bytes]:
    events = ServerEvents()
    found = [data for piece in pieces for data in events.feed(piece)]
    last = events.rest()
    return found if last is None else [*found, last]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data:one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
        (b": comment\n\nevent: delta\nid: 7\nretry: 10\ndata: one\n\n", [b"one"]),
        (b"data: one\ndata: more\n\n", [b"one\nmore"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"data\n\n", []),
        (b"data:\n\ndata:\ndata: \n\n", []),
        (b"database: no\n\n", []),
        (b"data: not ended", [b"not ended"]),
        (b"data: not ended\n", [b"not ended"]),
        (b"\n\n\r\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_cut_into_events(stream: bytes, expected: list[bytes]) -> None:
    assert read(stream) == expected
    assert read(*(bytes([byte]) for byte in stream)) == expected


LINES = st.lists(st.sampled_from([b"data: a", b"data:", b"data: b:c", b": x", b"event: e", b"", b"\xff"]), max_size=12)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.data(), LINES, ENDS)
def test_where_the_network_cuts_does_not_matter(data: st.DataObject, lines: list[bytes], end: bytes) -> None:
    stream = end.join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)
    assert read(stream) == read(b"\n".join(lines))


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_no_bytes_are_too_strange(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_events, "LONGEST", 100)
    events = ServerEvents()
    events.feed(b"data: " + b"x" * 60)
    with pytest.raises(EventTooLongError):
        events.feed(b"x" * 60)
    many = ServerEvents()
    with pytest.raises(EventTooLongError):
        many.feed(b"data: x\n" * 101)
    fine = ServerEvents()
    assert len(fine.feed(b"data: x\n\n" * 500)) == 500
    exact = b"x" * 100
    assert fine.feed(b"data: %s\n\ndata: %s\n\n" % (exact, exact)) == [exact, exact]
    with pytest.raises(EventTooLongError):
        fine.feed(b"data: %sx\n" % exact)
