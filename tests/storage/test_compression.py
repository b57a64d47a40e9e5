from __future__ import annotations

import pydoc_data.topics
import threading
from time import process_time

import pytest
import zstandard

from tenire.errors import StoreError
from tenire.storage.compression import TextCodec, train_dictionary, utf8


def _passages() -> list[str]:
    return [
        text[at : at + 900]
        for _, text in sorted(pydoc_data.topics.topics.items())
        for at in range(0, len(text), 900)
        if len(text) - at > 100
    ]


@pytest.fixture(scope="module")
def dictionary() -> bytes:
    # Every second passage; the others are what the ratio is measured on.
    return train_dictionary([utf8(text) for text in _passages()[::2]])


def test_real_documentation_shrinks_to_less_than_half(dictionary: bytes) -> None:
    codec = TextCodec()
    codec.use(dictionary)
    unseen = _passages()[1::2]
    frames = [codec.compress(text) for text in unseen]
    assert sum(len(utf8(text)) for text in unseen) >= 2.2 * sum(map(len, frames))
    assert [codec.decompress(frame) for frame in frames] == unseen


def test_reading_back_takes_less_than_fifty_microseconds(dictionary: bytes) -> None:
    codec = TextCodec()
    codec.use(dictionary)
    frames = [codec.compress(text) for text in _passages()]
    best = min(_cpu_per_frame(codec, frames) for _ in range(3))
    assert best < 50e-6


def _cpu_per_frame(codec: TextCodec, frames: list[bytes]) -> float:
    begin = process_time()
    for frame in frames:
        codec.decompress(frame)
    return (process_time() - begin) / len(frames)


@pytest.mark.parametrize("text", ["", "a", "nul \0", "lone \ud800 surrogate", "日本語 🦊", "x" * 3_000_000])
def test_any_string_comes_back(dictionary: bytes, text: str) -> None:
    codec = TextCodec()
    assert codec.decompress(codec.compress(text)) == text
    codec.use(dictionary)
    assert codec.decompress(codec.compress(text)) == text


def test_frames_name_their_dictionary_and_older_ones_stay_readable(dictionary: bytes) -> None:
    writer = TextCodec()
    without = writer.compress("before")
    number = writer.use(dictionary)
    second = writer.use(train_dictionary([utf8(text[::-1]) for text in _passages()]))
    writer.use(dictionary)
    assert number != second
    with_it = writer.compress("after " * 9)
    assert zstandard.get_frame_parameters(with_it).dict_id == number

    asked: list[int] = []

    def find(wanted: int) -> bytes | None:
        asked.append(wanted)
        return dictionary

    reader = TextCodec(find)
    assert reader.decompress(without) == "before"
    assert asked == []
    assert reader.decompress(with_it) == reader.decompress(with_it) == "after " * 9
    assert asked == [number]


def test_a_missing_dictionary_and_a_damaged_frame_are_named(dictionary: bytes) -> None:
    writer = TextCodec()
    number = writer.use(dictionary)
    frame = writer.compress("a text " * 20)
    for find in (None, lambda _: None):
        with pytest.raises(StoreError, match=str(number)):
            TextCodec(find).decompress(frame)
    with pytest.raises(StoreError, match="damaged"):
        writer.decompress(frame[:-3])
    with pytest.raises(StoreError, match="damaged"):
        writer.decompress(b"no frame at all")
    with pytest.raises(StoreError, match="dictionary"):
        writer.use(b"not a dictionary")


def test_too_few_texts_to_learn_from_are_refused() -> None:
    with pytest.raises(StoreError, match="not enough"):
        train_dictionary([b"one"])


def test_threads_may_share_a_codec(dictionary: bytes) -> None:
    codec = TextCodec()
    codec.use(dictionary)
    passages = _passages()[:200]
    wrong: list[str] = []

    def work() -> None:
        wrong.extend(text for text in passages if codec.decompress(codec.compress(text)) != text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
