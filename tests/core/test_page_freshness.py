"""Whether a page has to be rendered again, and tried again: the tables."""

from __future__ import annotations

import pytest

from tenire.core.page_freshness import Freshness, KnownPage, can_be_asked, freshness
from tenire.core.page_tries import PageTries

PLAIN = KnownPage(etag='"1"', source_hash="same")
DYNAMIC = KnownPage(etag='"1"', source_hash="same", dynamic=True)


@pytest.mark.parametrize(
    ("status", "known", "source_hash", "expected"),
    [
        (None, PLAIN, "", Freshness.LATER),
        (None, None, "", Freshness.LATER),
        (429, PLAIN, "", Freshness.LATER),
        (408, PLAIN, "", Freshness.LATER),
        (500, None, "", Freshness.LATER),
        (503, PLAIN, "same", Freshness.LATER),
        (404, PLAIN, "same", Freshness.GONE),
        (410, None, "", Freshness.GONE),
        (403, PLAIN, "", Freshness.REFUSED),
        (302, None, "", Freshness.REFUSED),
        (304, PLAIN, "", Freshness.KEEP),
        (304, DYNAMIC, "", Freshness.REFUSED),
        (304, None, "", Freshness.REFUSED),
        (200, PLAIN, "same", Freshness.KEEP),
        (200, PLAIN, "other", Freshness.RENDER),
        (200, PLAIN, "", Freshness.RENDER),
        (200, DYNAMIC, "same", Freshness.RENDER),
        (200, None, "same", Freshness.RENDER),
        (200, KnownPage(etag='"1"'), "", Freshness.RENDER),
    ],
)
def test_what_to_do_with_a_page(
    status: int | None, known: KnownPage | None, source_hash: str, expected: Freshness
) -> None:
    assert freshness(status, known, source_hash) is expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [(None, False), (PLAIN, True), (DYNAMIC, False), (KnownPage(), False), (KnownPage(modified="Mon"), True)],
)
def test_whether_a_request_can_tell(known: KnownPage | None, *, expected: bool) -> None:
    assert can_be_asked(known) is expected


def test_a_page_is_tried_again_until_it_took_so_many_browsers_with_it_or_crashed_twice() -> None:
    tries = PageTries(losses=3, crashes=2)
    assert [tries.again_after_loss(), tries.again_after_loss(), tries.again_after_loss()] == [True, True, False]
    assert [tries.again_after_crash(), tries.again_after_crash()] == [True, False]
    assert (tries.lost, tries.crashed) == (3, 2)
