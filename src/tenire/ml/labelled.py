"""Labelled rows: which of them can be learnt from, what each is for, and one hash of all of them.

1. A row counts if it has a text, a label, and an id that no earlier row of its file has.
2. A class needs two rows, or nothing is left to learn once one is put aside; one with a
   single row is refused as a whole.
3. Without a file of its own, the test is a fifth of the rows, told by the hash of their ids:
   the same rows whatever order they come in, and whatever joins them. A class that would have
   no row left to learn from keeps all of its rows.
4. Labels that compare as equal, but are not the same in JSON (``true`` and ``1``), are classes of their own.
5. A row whose text has no vector does not count, as if it were not in its file. That is only known once what
   embeds it was asked: then the rows are looked at again (``training``).
6. Of a training that is large enough, a tenth of its rows, told by their ids and a seed, says when to stop.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.ml.tally import kind_of
from tenire.ml.uses import TEST, TRAINING, VALIDATION
from tenire.pipeline.rows.records import Row, content_hash
from tenire.storage.rows import RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tenire.pipeline.rows.records import BrokenRow

__all__ = ["KEY", "Labelled", "Survey", "read_labelled", "text_of"]

KEY = "train "
"""Stands before the key of a training row in the ledger: rows to be predicted may have the same ids."""

_FOR_TEST = 0.2
_FOR_STOPPING = 0.1
_ENOUGH = 200
"""Training rows from which on some are put aside to tell when to stop."""

_MANY = 10
"""Rows of a class from which on it has some to spare for that."""

_STAGE = "train"


def text_of(row: Row, field: str = "text") -> str | None:
    """Return the text in a field of a row, or ``None`` if it has none."""
    text = row.fields.get(field)
    return text if isinstance(text, str) and text.strip() else None


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row that counts.

    Attributes:
        key: Its id as JSON.
        text: Its text.
        label: Its class.
        test: Whether it stands in the file of tests.
    """

    key: str
    text: str
    label: Any
    test: bool

    @property
    def kind(self) -> tuple[str, Any]:
        """Its class as what it is counted under: the type of the label, and the label."""
        return kind_of(self.label)

    def chance(self, seed: str) -> float:
        """Return a number from 0 to 1 that only its id and a seed decide."""
        digest = hashlib.blake2b(f"{seed} {self.key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


@dataclass(slots=True)
class Survey:
    """What a first look at all labelled rows has found.

    Attributes:
        refused: Rows that cannot be learnt from.
        counts: Rows of each ``Labelled.kind``: to learn from, if a fifth is for the test; and for the test.
        seed: Decides which rows say when to stop.
    """

    refused: list[RefusedRow] = field(default_factory=list)
    counts: dict[tuple[str, Any], Counter[int]] = field(default_factory=dict)
    seed: int = 0
    _unusable: set[str] = field(default_factory=set)
    _single: dict[tuple[str, Any], RefusedRow] = field(default_factory=dict)
    _digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    _own_test: bool = False

    @classmethod
    def of(
        cls,
        rows: Iterable[Row | BrokenRow],
        tests: Iterable[Row | BrokenRow] | None,
        times: Callable[[str], int],
        *,
        seed: int = 0,
        unusable: Callable[[RefusedRow, str], RefusedRow | None] = lambda _, text: None,
    ) -> Survey:
        """Look at all rows; on a thread.

        Args:
            rows: The file to learn from.
            tests: The file of tests, or ``None``.
            times: Tells of a key how often it has come, this time included.
            seed: Decides which rows say when to stop.
            unusable: Given a refusal without a reason and the text of its row, returns it with one if the text
                has no vector, and ``None`` if it has, or nobody knows.
        """
        survey = cls(seed=seed, _own_test=tests is not None)
        for labelled, refusal in _read(rows, tests, times):
            if labelled is None:
                survey.refused.append(refusal)
            elif (why := unusable(refusal, labelled.text)) is not None:
                survey.refused.append(why)
                survey._unusable.add(labelled.key)
            else:
                survey._take(labelled, refusal)
        survey._refuse_single()
        return survey

    def _take(self, row: Labelled, refusal: RefusedRow) -> None:
        self._digest.update(content_hash({"key": row.key, "text": row.text, "label": row.label}).encode())
        self._digest.update(b"test" if row.test else b"train")
        use = TEST if row.test or (not self._own_test and row.chance("test") < _FOR_TEST) else TRAINING
        count = self.counts.setdefault(row.kind, Counter())
        count[use] += 1
        if sum(count.values()) == 1:
            self._single[row.kind] = refusal
        else:
            self._single.pop(row.kind, None)

    def _refuse_single(self) -> None:
        for kind, refusal in self._single.items():
            error = f"expected at least two rows of each class, got one of {kind[1]!r}"
            self.refused.append(refusal._replace(error=error))
            del self.counts[kind]
        if self._own_test:
            # What is only tested was never learnt.
            self.counts = {kind: count for kind, count in self.counts.items() if count[TRAINING]}

    @property
    def digest(self) -> str:
        """A hash of all rows that count, in their order."""
        return str(self._digest.hexdigest())

    @property
    def classes(self) -> list[Any]:
        """The classes, in an order that only they decide."""
        return [label for _, label in self.kinds]

    @property
    def kinds(self) -> list[tuple[str, Any]]:
        """``Labelled.kind`` of each of the classes, in their order."""
        return sorted(self.counts)

    def use_of(self, row: Labelled) -> int | None:
        """Return what a row is for, or ``None`` if nothing can be made of it or of its class."""
        count = self.counts.get(row.kind)
        if count is None or row.key in self._unusable:
            return None
        if row.test:
            return TEST
        if not self._own_test and row.chance("test") < _FOR_TEST and count[TRAINING]:
            return TEST
        spare = self._stops_early and count[TRAINING] >= _MANY
        return VALIDATION if spare and row.chance(f"stop {self.seed}") < _FOR_STOPPING else TRAINING

    @property
    def _stops_early(self) -> bool:
        return sum(count[TRAINING] for count in self.counts.values()) >= _ENOUGH


def read_labelled(rows: Iterable[Row | BrokenRow], tests: Iterable[Row | BrokenRow] | None) -> Iterator[Labelled]:
    """Yield the rows that count, once more; on a thread."""
    seen: Counter[bytes] = Counter()

    def times(key: str) -> int:
        mark = hashlib.blake2b(key.encode(), digest_size=16).digest()
        seen[mark] += 1
        return seen[mark]

    return (labelled for labelled, _ in _read(rows, tests, times) if labelled is not None)


def _read(
    rows: Iterable[Row | BrokenRow], tests: Iterable[Row | BrokenRow] | None, times: Callable[[str], int]
) -> Iterator[tuple[Labelled | None, RefusedRow]]:
    for test, source in ((False, rows), (True, tests or ())):
        for row in source:
            key = f"{'test ' if test else ''}{row.key}"
            time = times(f"{KEY}{key}")
            if time > 1:  # the same content once more is a row of its own, the same id is not
                key = f"{key}-{time}"
            again = time > 1 and isinstance(row, Row) and row.named
            content = content_hash(row.fields) if isinstance(row, Row) else row.content
            error = _error(row, again=again)
            refusal = RefusedRow(f"{KEY}{key}", row.source, content, _STAGE, error, 0)
            if error or not isinstance(row, Row):
                yield None, refusal
            else:
                yield Labelled(key, row.fields["text"], row.fields["label"], test), refusal


def _error(row: Row | BrokenRow, *, again: bool) -> str:
    """Return why a row cannot be learnt from, or nothing."""
    if not isinstance(row, Row):
        return row.error
    if again:
        return f"{row.place}: expected an id that no other row has, got {row.key}, which an earlier row has"
    if text_of(row) is None:
        return f"{row.place}: expected a text in the field text, got {_shown(row.fields.get('text'))}"
    label = row.fields.get("label")
    if not isinstance(label, str | int) or label == "":
        return f"{row.place}: expected a text or a whole number in the field label, got {_shown(label)}"
    return ""


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"
