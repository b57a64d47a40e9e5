"""What is done to a text between its reader and its passages, one step after the other.

::

    draft, with marks ─► mask ─► repeated lines ─► stages of the user ─► unmark ─► language
                              draft, structure, findings ◄─ signature ◄─ quality ◄─ validate ◄┘

1. Personal data goes first: nothing behind it, no reason of a refusal either, can
   repeat what was to be masked.
2. A draft that breaks a rule of *validate* is refused. One that breaks a rule of
   *quality* is what it is, only not worth finding: it stays, without its text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tenire.documents.boilerplate import Repeated, without_repeated
from tenire.documents.formats import Kind
from tenire.documents.language import language_of
from tenire.documents.near_duplicates import signature, signature_version
from tenire.documents.pii import mask
from tenire.documents.quality import broken_rule
from tenire.documents.structure import Structure, unmark
from tenire.documents.user_stages import stage_of, staged
from tenire.documents.validation import Checks, validate
from tenire.protocols import Findings

if TYPE_CHECKING:
    from tenire.documents.draft import Draft
    from tenire.documents.structure import Lines
    from tenire.protocols import About

__all__ = ["Cleaned", "Cleaning", "clean"]


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How documents are cleaned.

    Attributes:
        checks: What a document has to be like; otherwise it goes to quarantine.
        quality: Rules of ``documents.quality`` with their limits; what breaks one is
            done, but stored without passages.
        mask: Kinds of personal data that are masked; names of ``documents.pii.KINDS``.
        language: Whether to find out in which language a text is.
        near: From which share of words in common on two documents are nearly the same;
            ``None`` where that makes no difference.
        repeated: Lines that are taken out where they repeat over documents and pages;
            ``None`` where all stay.
        stages: Located names of the user's stages, in order.
    """

    checks: Checks = field(default_factory=Checks)
    quality: tuple[tuple[str, float], ...] = ()
    mask: tuple[str, ...] = ()
    language: bool = True
    near: float | None = None
    repeated: Repeated | None = None
    stages: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What a document depends on here, as one string; empty if nothing was asked for.

        Raises:
            ConfigError: If a function that is named cannot be loaded.
        """
        parts = {
            "validate": self.checks.identity,
            "quality": " ".join(f"{name}={limit:g}" for name, limit in self.quality),
            "mask": " ".join(sorted(self.mask)),
            "language": "" if self.language else "no",
            "stages": " ".join(stage_of(name).identity for name in self.stages),
            "lines": "" if self.repeated is None else self.repeated.identity,
            "near": "" if self.near is None else f"{self.near:g} v{signature_version()}",
        }
        return " ".join(f"{name}[{value}]" for name, value in parts.items() if value)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a draft.

    Attributes:
        draft: The draft without marks, as it is to be stored.
        structure: The structure of its text.
        findings: What was found on the way.
    """

    draft: Draft
    structure: Structure
    findings: Findings


def clean(draft: Draft, cleaning: Cleaning, *, kind: Kind = Kind.TEXT, lines: Lines | None = None) -> Cleaned:
    """Clean one draft.

    Args:
        draft: As its reader left it; its text is cleansed and may hold marks.
        cleaning: How.
        kind: How it is marked up; source code is in no language of people.
        lines: Goes into the structure as it is.

    Raises:
        DocumentError: If the document breaks a rule, of stage ``validate``; or a stage of the user
            raises for it, of that name.
        MissingExtraError: If what tells languages is not installed.
        ConfigError: If a function that is named cannot be loaded.
    """
    counts: dict[str, int] = {}
    if cleaning.mask:
        draft = _masked(draft, cleaning.mask, counts)
    taken, left = 0, ""
    if cleaning.repeated is not None:
        text, taken = without_repeated(
            draft.text, draft.about.kind, cleaning.repeated, markup=kind, keep_lines=lines is not None
        )
        draft = replace(draft, text=text)
    if cleaning.stages:
        before, (draft, left) = draft.text, _through_stages(draft, cleaning)
        # A line that came or went moves all those behind it.
        lines = lines if draft.text.count("\n") == before.count("\n") else None
    text, structure = unmark(draft.text, lines)
    about = draft.about
    if cleaning.language and kind is not Kind.CODE:
        about = replace(about, language=language_of(text) or about.language)
    draft = replace(draft, text=text, about=about)
    if left:
        findings = Findings(tuple(sorted(counts.items())), left, f"the stage {left} left it out", lines=taken)
        return Cleaned(replace(draft, text=""), Structure(), findings)
    validate(draft, cleaning.checks)
    rule, reason = broken_rule(text, about.language, cleaning.quality) or ("", "")
    if rule:
        draft, structure = replace(draft, text=""), Structure()
    marks = signature(text) if cleaning.near is not None and not rule else b""
    return Cleaned(draft, structure, Findings(tuple(sorted(counts.items())), rule, reason, marks, lines=taken))


def _through_stages(draft: Draft, cleaning: Cleaning) -> tuple[Draft, str]:
    found = staged(draft, cleaning.stages)
    return found.draft, found.left


def _masked(draft: Draft, kinds: tuple[str, ...], counts: dict[str, int]) -> Draft:
    def masked(text: str) -> str:
        text, found = mask(text, kinds)
        for kind, count in found.items():
            counts[kind] = counts.get(kind, 0) + count
        return text

    text = masked(draft.text)
    # What stands around the text says the same once more: it is masked, not counted.
    return replace(draft, text=text, title=mask(draft.title, kinds)[0], about=_masked_about(draft.about, kinds))


def _masked_about(about: About, kinds: tuple[str, ...]) -> About:
    extra = tuple((name, mask(value, kinds)[0]) for name, value in about.extra)
    return replace(about, author=mask(about.author, kinds)[0], extra=extra)
