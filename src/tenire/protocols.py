"""What rooms that must not know each other hand to one another.

The document reader, the embedder and the store never import each other. They
meet in ``app``, which connects them through the records and Protocols here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "About",
    "Batch",
    "Document",
    "Embedder",
    "Findings",
    "Hit",
    "Look",
    "Passage",
    "Place",
    "Rejection",
    "SourceFile",
    "StopSign",
    "StoreCheck",
    "Unchanged",
    "Unpacked",
    "VectorStore",
]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file as the source listed it; its content was not read yet.

    Attributes:
        path: Absolute path.
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds since the epoch.
        container: Path of the file that holds it, or ``""`` for a file itself. The path
            of a member is ``CONTAINER!/MEMBER``, its time that of its container.
        kept: Path of the file that holds its bytes, where its own is none: a web page's is its address.
    """

    path: str
    size: int
    mtime_ns: int
    container: str = ""
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands in its document, in words of the document.

    Attributes:
        headings: The headings above it, outermost first.
        page: The page that it begins on, from 1, or ``None`` where there are no pages.
        lines: Its first and last line in the file, from 1, or ``None`` where lines mean nothing.
        section: Ordinal of the first passage under the same innermost heading: its context.
    """

    headings: tuple[str, ...] = ()
    page: int | None = None
    lines: tuple[int, int] | None = None
    section: int = 0

    def __reduce__(self) -> tuple[type[Place], tuple[Any, ...]]:
        # There are hundreds in what a worker sends: half the time that a dataclass takes for itself.
        return Place, _PLACE_VALUES(self)


@dataclass(frozen=True, slots=True)
class About:
    """What is known about a document besides its text.

    Attributes:
        kind: Its format: ``html``, ``pdf``, ``email``, …
        language: ISO 639-1 code, or an empty string where nothing was found out.
        author: As the document names it, or an empty string.
        date: ISO 8601, as precise as the document is, or an empty string.
        pages: How many it has; 0 where there are none.
        extra: What its source knows besides, as pairs of name and value.
    """

    kind: str = ""
    language: str = ""
    author: str = ""
    date: str = ""
    pages: int = 0
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What cleaning found in a document.

    Attributes:
        masked: How much personal data of each kind was masked, as pairs of kind and count.
        filtered: The rule of quality that it broke: then it has no passages. Otherwise ``""``.
        reason: What that rule expected, and what came.
        signature: What tells whether it is nearly the same as another one (see
            ``core.near_duplicates``), or nothing.
        similarity: The share of its words that it has in common with the document that
            stands for it; 1 if that is itself.
        lines: How many lines were taken out, since they repeat over documents or pages.
    """

    masked: tuple[tuple[str, int], ...] = ()
    filtered: str = ""
    reason: str = ""
    signature: bytes = b""
    similarity: float = 1.0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """One chunk of a document.

    Attributes:
        ordinal: Its place in the document, from 0.
        start: Offset of its first character in the cleansed text.
        end: Offset after its last character.
        text: The passage itself; equals ``cleansed_text[start:end]``.
        place: Where it stands, for people.
    """

    ordinal: int
    start: int
    end: int
    text: str
    place: Place = Place()

    def __reduce__(self) -> tuple[type[Passage], tuple[Any, ...]]:
        return Passage, _PASSAGE_VALUES(self)


_PLACE_VALUES: Callable[[Place], tuple[Any, ...]] = attrgetter(*Place.__slots__)
_PASSAGE_VALUES: Callable[[Passage], tuple[Any, ...]] = attrgetter(*Passage.__slots__)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read, cleansed and cut into passages.

    Attributes:
        id: Hash of the recipe and the content: copies of a file share it.
        file: The file that it was read from.
        content_hash: Hash of the file's bytes (hexadecimal).
        title: A title for people, or an empty string.
        text_bytes: Bytes of the cleansed text in UTF-8.
        passages: Its passages, in order; may be empty.
        about: What is known about it besides its text.
        findings: What cleaning found in it.
    """

    id: str
    file: SourceFile
    content_hash: str
    title: str
    text_bytes: int
    passages: tuple[Passage, ...]
    about: About = About()
    findings: Findings = Findings()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that cannot be used, and why.

    Attributes:
        file: The file.
        stage: The stage that refused it: ``read``, ``validate``, ``cleanse``, …
        error: What was expected, what came, what to do.
        content_hash: Hash of the file's bytes if they could be read, else ``""``.
        rule: The rule of that stage which it broke, or an empty string where there are no rules.
    """

    file: SourceFile
    stage: str
    error: str
    content_hash: str = ""
    rule: str = ""

    @property
    def reason(self) -> str:
        """The one word that it is counted under: the rule, or else the stage."""
        return self.rule or self.stage


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file that was touched: its content is the one already known.

    Attributes:
        file: The file as it is now.
        content_hash: Hash of its bytes.
    """

    file: SourceFile
    content_hash: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A container of which some members were read.

    Attributes:
        container: The container itself, as a document without passages; or why it, or the
            rest of it, cannot be read.
        members: What came of its members, in their order.
        following: Number of the first member that was not looked at yet, or ``None``
            if these were the last ones.
        expanded: Bytes that came out of it until then; what follows adds to them.
    """

    container: Document | Rejection
    members: tuple[Document | Rejection, ...]
    following: int | None = None
    expanded: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a file or a member of a container is, without being parsed.

    Attributes:
        file: The file, or the member.
        reader: Who would read it: ``pdf``, ``html``, …
        unpacked: A container, of which no member was read yet; otherwise ``None``.
    """

    file: SourceFile
    reader: str
    unpacked: Unpacked | None = None


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def name(self) -> str:
        """The name that ``load_embedder`` takes, for example ``"minilm"``."""
        ...

    @property
    def identity(self) -> str:
        """What a store remembers: model, variant and version, in one string."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape ``(len(texts), dimension)``, rows of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit of a store writes, all or nothing.

    Attributes:
        id: Unique; committing the same id twice changes nothing.
        documents: The documents to add.
        vectors: One float32 row per passage, in the order of
            ``documents[i].passages[j]``; shape ``(n, dimension)``.
        remove: Ids of documents whose passages leave in the same commit.
    """

    id: str
    documents: tuple[Document, ...]
    vectors: NDArray[np.float32] | None
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that a search found.

    Attributes:
        document: Id of its document.
        ordinal: Its place in the document.
        start: Offset of its first character in the cleansed text.
        end: Offset after its last character.
        text: The whole passage.
        score: Higher is better; comparable within one result list only.
        place: Where it stands, for people.
    """

    document: str
    ordinal: int
    start: int
    end: int
    text: str
    score: float
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What a complete look at a store found.

    Attributes:
        passages: Number of passages per document id.
        duplicates: Passages that are stored more than once.
        unindexed: Passages that an index lacks, or has in excess.
        damaged: Ids of documents with a passage whose text is not the one that was
            stored, or whose vector is missing.
        details: What is wrong, for people.
    """

    passages: Mapping[str, int]
    duplicates: int
    unindexed: int = 0
    damaged: frozenset[str] = frozenset()
    details: tuple[str, ...] = field(default=())


class VectorStore(Protocol):
    """A store of passages with vectors. All methods block; call them on a thread."""

    def commit(self, batch: Batch) -> None:
        """Apply a batch, all or nothing; a batch that was applied before is ignored."""
        ...

    def has_batch(self, batch_id: str) -> bool:
        """Return whether a batch was applied (and finish what a crash left half done)."""
        ...

    def search(
        self, query: str, vector: NDArray[np.float32] | None, *, k: int, mode: str, exact: bool,
        within: frozenset[str] | None = None,
    ) -> list[Hit]:  # fmt: skip
        """Return the hits for the best ``k`` different texts, best first.

        There may be more hits than ``k``: documents can hold the same text.
        ``mode`` is hybrid, vector or text. ``within`` holds the ids of the only
        documents to look at.
        """
        ...

    def around(self, hits: Sequence[Hit], distance: int) -> list[list[Passage]]:
        """Return for each hit the passages of its document up to ``distance`` away, itself included, in order."""
        ...

    def vectors_of(self, document_ids: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """Return the stored vectors of documents, keyed by the SHA-256 of a passage's text."""
        ...

    def check(self) -> StoreCheck:
        """Read everything and report what is there."""
        ...

    def reindex(self) -> None:
        """Make the text index anew from the passages; drop another that cannot be used."""

    def optimise(
        self, *, idle: bool = False, ended: bool = False, stop: StopSign | None = None,
        before_long: Callable[[], object] | None = None,
    ) -> bool:  # fmt: skip
        """Tidy up where it pays, until ``stop`` says that it has to end; return whether anything was done.

        ``idle``: nobody waits for the machine. ``ended``: no commit follows. ``before_long`` is called
        before work that takes long, or much memory.
        """
        ...

    def compact(self) -> tuple[int, int]:
        """Do all that saves room or time; return the number of passages and of those in the vector index."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class StopSign(Protocol):
    """Tells work that nobody waits for when to stop."""

    @property
    def requested(self) -> bool:
        """Whether it has to stop."""
        ...

    def calling(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
        """Have ``interrupt`` called, on another thread, as soon as it has to stop while the block runs."""
        ...
