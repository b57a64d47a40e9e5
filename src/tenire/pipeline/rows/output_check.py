"""Compares the outputs of pipelines with what the ledger says, record by record, and writes them anew."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.errors import PipelineError
from tenire.pipeline.rows.kept import OUTPUT, lines_of, remember_output
from tenire.pipeline.rows.lines import items_of
from tenire.pipeline.rows.outputs import written_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tenire.pipeline.rows.output import Output
    from tenire.storage.ledger import Ledger

__all__ = ["OutputsCheck", "check_outputs", "write_outputs"]


@dataclass(frozen=True, slots=True)
class OutputsCheck:
    """What a complete look at outputs found.

    Attributes:
        missing: Records that the ledger has and their output lacks.
        orphans: Records in an output that the ledger does not have.
        duplicates: Records that stand in an output more than once.
        damaged: Records that are not what the ledger says.
        details: What is wrong, for people.
    """

    missing: int = 0
    orphans: int = 0
    duplicates: int = 0
    damaged: int = 0
    details: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all outputs are what they should be."""
        return not (self.missing or self.orphans or self.duplicates or self.damaged)

    def __add__(self, other: OutputsCheck) -> OutputsCheck:
        """Return the sums of two looks."""
        return OutputsCheck(
            self.missing + other.missing,
            self.orphans + other.orphans,
            self.duplicates + other.duplicates,
            self.damaged + other.damaged,
            (*self.details, *other.details),
        )


def check_outputs(ledger: Ledger) -> OutputsCheck:
    """Compare all outputs of a home with its ledger; some dozen bytes a record are held meanwhile."""
    check = OutputsCheck()
    for pipeline, output, _ in _outputs(ledger):
        check += _check(ledger, pipeline, output)
    return check


def write_outputs(ledger: Ledger, *, all_: bool) -> None:
    """Write outputs anew that are not what the ledger says.

    Args:
        ledger: The open ledger of a home whose lock is held.
        all_: Whether to look at all of them, and not only at those over which a run was killed.

    Raises:
        PipelineError: If one cannot be written.
    """
    for pipeline, output, mark in _outputs(ledger):
        if not mark or (all_ and not _check(ledger, pipeline, output).ok):
            remember_output(ledger, pipeline, output, mark="")
            output.replace(lines_of(ledger, pipeline))
            output.close()
            remember_output(ledger, pipeline, output, mark=output.mark())


def _outputs(ledger: Ledger) -> Iterator[tuple[str, Output, str]]:
    for pipeline, text in ledger.settings(OUTPUT).items():
        left: dict[str, Any] = json.loads(text)
        yield pipeline, written_at(Path(left["path"]), pipeline=pipeline), left["mark"]


def _check(ledger: Ledger, pipeline: str, output: Output) -> OutputsCheck:
    try:
        records, as_shown = output.read()
        items = (as_shown(item) for item in items_of(ledger.rows.lines(pipeline)))
        expected = {_hash(item["id"]): _hash(_present(item)) for item in items}
        seen: set[int] = set()
        orphans = duplicates = damaged = 0
        for record in records:
            number = _hash(record.get("id"))
            if number not in expected:
                orphans += 1
            elif number in seen:
                duplicates += 1
            else:
                damaged += expected[number] != _hash(_present(record))
            seen.add(number)
    except PipelineError as error:
        count = sum(1 for _ in items_of(ledger.rows.lines(pipeline)))
        return OutputsCheck(missing=count, damaged=0 if count else 1, details=(str(error),))
    check = OutputsCheck(len(expected.keys() - seen), orphans, duplicates, damaged)
    if check.ok:
        return check
    told = f"{check.missing:,} missing, {orphans:,} not of it, {duplicates:,} twice, {damaged:,} changed"
    return check + OutputsCheck(details=(f"the output {output.path} is not what the ledger says: {told}",))


def _present(record: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is nothing: tables have each column in each row."""
    return {name: value for name, value in record.items() if value is not None}


def _hash(value: Any) -> int:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=repr)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
