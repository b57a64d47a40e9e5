"""What two signatures say of how much two documents have in common."""

from __future__ import annotations

import pytest

from tenire.core.near_duplicates import BANDS, ROWS, bands, near, pack, similarity

VALUES = BANDS * ROWS


def signed(words: int, agreeing: int) -> tuple[bytes, bytes]:
    """Two signatures that agree in so many of their values."""
    left = [1] * VALUES
    right = [1] * agreeing + [2] * (VALUES - agreeing)
    no_bands = (0,) * BANDS

    def packed(values: list[int]) -> bytes:
        return pack(words, no_bands, b"".join(value.to_bytes(2, "little") for value in values))

    return packed(left), packed(right)


def test_a_signature_gives_its_bands_back() -> None:
    numbers = tuple(range(-5, BANDS - 5))
    signature = pack(70_000, numbers, bytes(2 * VALUES))
    assert bands(signature) == numbers
    assert len(signature) == 4 + 8 * BANDS + 2 * VALUES


@pytest.mark.parametrize(("agreeing", "share"), [(0, 0.0), (VALUES, 1.0), (VALUES // 2, 2 / 3), (VALUES // 4, 0.4)])
def test_the_share_of_words_follows_from_the_values_that_agree(agreeing: int, share: float) -> None:
    assert similarity(*signed(500, agreeing)) == pytest.approx(share)


def test_only_what_reaches_the_threshold_is_near() -> None:
    one, other = signed(500, 210)
    share = similarity(one, other)
    assert near(one, other, share) == share
    # Signatures only tell it about, and what they may be off by counts for the copy.
    assert near(one, other, share + 0.009) == share
    assert near(one, other, share + 0.011) is None


def test_short_texts_may_differ_in_five_words_only() -> None:
    # Six of 50 words: 0.88; five of them: 0.9
    assert near(*signed(50, 200), 0.8) is None
    assert near(*signed(50, 214), 0.8) is not None
    assert near(*signed(100, 200), 0.8) is not None
