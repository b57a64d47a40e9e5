"""Whether a page that is known has to be rendered again.

A cheap request tells for most pages. Not for one that fetches its content by script: its
source can stay the same while what it shows does not. Such a page is *dynamic*, and is
rendered in any case; then its text tells.

=======================  =================  ================================
the server says          of the page        decision
=======================  =================  ================================
nothing, or 408, 425     known              later: what is kept stays
429, 500 and above       known              later: what is kept stays
the same                 new                later: it is refused for now
404, 410                 any                gone
any other below 200,
or 400 and above         any                refused
304, or the same bytes   known              keep
anything else            any                render
=======================  =================  ================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Freshness", "KnownPage", "can_be_asked", "freshness"]


class Freshness(StrEnum):
    """What to do with a page."""

    KEEP = "keep"
    RENDER = "render"
    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class KnownPage:
    """What is known of a page from its last visit.

    Attributes:
        etag: The server's tag of its source, or an empty text.
        modified: The time of its last change, as the server wrote it, or an empty text.
        source_hash: Hash of its source, or an empty text.
        dynamic: Whether scripts fetched something when it was rendered.
    """

    etag: str = ""
    modified: str = ""
    source_hash: str = ""
    dynamic: bool = False


_LATER = (408, 425, 429)
_GONE = (404, 410)
_NOT_MODIFIED = 304


def can_be_asked(known: KnownPage | None) -> bool:
    """Return whether a request without a browser can tell that a page is the same."""
    return known is not None and not known.dynamic and bool(known.etag or known.modified or known.source_hash)


def freshness(status: int | None, known: KnownPage | None = None, source_hash: str = "") -> Freshness:
    """Decide what to do with a page.

    Args:
        status: The status of HTTP; ``None`` if there was no answer.
        known: What is known of it, or ``None`` for a new one.
        source_hash: Hash of the source that came, or an empty text.
    """
    if status is None or status in _LATER or status >= 500:
        return Freshness.LATER
    if status in _GONE:
        return Freshness.GONE
    if status == _NOT_MODIFIED and can_be_asked(known):
        return Freshness.KEEP
    if not 200 <= status < 300:
        return Freshness.REFUSED
    if known is not None and can_be_asked(known) and source_hash and source_hash == known.source_hash:
        return Freshness.KEEP
    return Freshness.RENDER
