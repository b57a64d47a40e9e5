"""What a pipeline that watches its files has done in all: one round after the other.

1. A round over what has changed counts as it is: a file that changes twice is seen twice.
2. A round over everything looks at what has not changed too; of it counts what is new.
3. ``seen = done + unchanged + quarantined`` after each round, as for a single run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.pipeline.progress import PipelineProgress

__all__ = ["Sums"]

_ALWAYS = (
    "done", "duplicates", "duplicate_bytes", "near_duplicates", "boilerplate_lines", "removed", "chunks", "bytes_ahead",
    "seconds",
)  # fmt: skip
_OF_CHANGES = ("seen", "unchanged", "quarantined", "skipped", "bytes_seen", "bytes_done", "expected", "bytes_expected")
_BY_NAME = ("filtered", "masked")


class Sums:
    """Adds one round to a pipeline's progress while it goes on.

    Args:
        shown: The progress that people see.
        part: What the round counts.
        known_quarantined: Files in quarantine when everything was last looked through, if
            the round looks through everything; ``None`` if it is over changes.
    """

    def __init__(self, shown: PipelineProgress, part: PipelineProgress, known_quarantined: int | None) -> None:
        self._shown = shown
        self._part = part
        self._before = replace(shown)
        self._known = known_quarantined

    def update(self) -> None:
        """Show what the round has counted so far."""
        shown, part, before = self._shown, self._part, self._before
        shown.stages, shown.listed = part.stages, part.listed
        shown.figures = {**before.figures, **part.figures}  # the latest, where one says how it is now
        for name in _ALWAYS if self._known is not None else (*_ALWAYS, *_OF_CHANGES):
            setattr(shown, name, getattr(before, name) + getattr(part, name))
        for name in _BY_NAME if self._known is not None else (*_BY_NAME, "rejected"):
            setattr(shown, name, _sum(getattr(before, name), getattr(part, name)))
        if self._known is not None:
            quarantined = max(0, part.quarantined - self._known)
            shown.quarantined = before.quarantined + quarantined
            shown.seen = before.seen + part.done + quarantined


def _sum(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) + more.get(name, 0) for name in sorted({*counts, *more})}
