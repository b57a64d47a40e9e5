"""What a run counts: one mutable record a pipeline, read by whoever shows it.

The run writes these from its loop; displays read them at their own pace. Plain
attributes, no locks: a reader may see one counter a moment ahead of another,
never a torn one.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.core.stage_sizes import slowest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tenire.pipeline.chunks import Chunk
    from tenire.protocols import Document, Findings

__all__ = ["PipelineProgress", "RunReport", "StageProgress"]


_OF_FILES = (
    "rejected", "filtered", "masked", "duplicates", "duplicate_bytes", "near_duplicates", "boilerplate_lines"
)  # fmt: skip
_INTERNAL = (
    "name",
    "unit",
    "paused",
    "bytes_seen",
    "bytes_done",
    "bytes_ahead",
    "expected",
    "bytes_expected",
    "listed",
    "stages",
    "figures",
    "error",
)


@dataclass(slots=True)
class StageProgress:
    """One stage of one pipeline.

    Attributes:
        name: The stage's name.
        done: Items that left it.
        waiting: Items that wait in front of it.
        running: Items in it now.
        busy_s: Seconds of work done in it, all workers together.
        since_s: Seconds of the run after which it first had something to do.
        workers: How many can work in it at the same time.
        unit: What goes through it: ``file``, ``row``, ``item``, ``passage`` or ``epoch``.
        doing: What else is to be said of it while it works or is about to, for people, or an empty string.
    """

    name: str
    done: int = 0
    waiting: int = 0
    running: int = 0
    busy_s: float = 0.0
    since_s: float = 0.0
    workers: int = 1
    unit: str = "passage"
    doing: str = ""

    @contextmanager
    def holding(self, items: int = 1) -> Iterator[None]:
        """Count items as running within the block."""
        self.running += items
        try:
            yield
        finally:
            self.running -= items

    @contextmanager
    def at_work(self, now: Callable[[], float], items: int = 1) -> Iterator[None]:
        """Count items as running within the block, and the time that it takes; ``now()`` in seconds."""
        started = now()
        try:
            with self.holding(items):
                yield
        finally:
            self.busy_s += now() - started


@dataclass(slots=True)
class PipelineProgress:
    """One pipeline of one run.

    Attributes:
        name: The pipeline's name.
        unit: What it goes through: ``file`` or ``row``. Where files are spoken of
            below, rows are meant for the latter, and they have no bytes.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``; ``watching``
            while a pipeline that goes on waits for its files to change.
        seen: Files that can hold text, found so far.
        done: Files of this run that are in the store now.
        unchanged: Files that did not change since an earlier run.
        quarantined: Files that cannot be used; of a pipeline that trains, labelled rows too, which
            are not part of ``seen``.
        rejected: The same by what refused them: the rule, or else the stage.
        filtered: Documents in ``done`` that broke a rule of quality and are stored without
            passages, by rule.
        masked: Personal data that was masked, by kind.
        duplicates: Sources in ``done`` whose document was there already, so that nothing was
            embedded and stored for them.
        duplicate_bytes: Bytes of those.
        boilerplate_lines: Lines that were taken out of documents in ``done``, since they repeat over many.
        near_duplicates: Sources in ``done`` for which another document stands, since they
            are nearly the same.
        removed: Sources that left since the last run.
        skipped: Files of types that hold no text; not part of ``seen``.
        chunks: Passages stored by this run.
        calls: Requests sent to a provider.
        retries: Tries that were not the first of their call.
        cached_calls: Rows that were answered without a request of their own.
        input_tokens: Of the prompts sent, as the provider counted.
        cached_tokens: Of those, what the provider had read before, and takes less for.
        output_tokens: Of the replies to them.
        reasoning_tokens: Of those, what a model thought to itself.
        cost_usd: What they cost, US dollars, as far as prices are known.
        guessed_usd: Of that, what nobody has confirmed, since the calls broke off.
        bytes_seen: Bytes of the files in ``seen``.
        bytes_done: Bytes of the files in ``done``, ``unchanged`` and ``quarantined``.
        bytes_ahead: Bytes of files that are embedded but not committed yet, about.
        expected: Files that the source will list, as far as it was counted ahead.
        bytes_expected: Their bytes.
        listed: Whether ``expected``, or ``seen``, is the whole source.
        seconds: Wall time since the pipeline started (final once it ended).
        error: Why the pipeline failed, or an empty string.
        paused: Whether somebody holds it back; that ends with it.
        stages: Its stages, in order.
        figures: What only some recipes tell, by name: how good a model is, for example.
    """

    name: str
    unit: str = "file"
    state: str = "waiting"
    seen: int = 0
    done: int = 0
    unchanged: int = 0
    quarantined: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    filtered: dict[str, int] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    duplicate_bytes: int = 0
    near_duplicates: int = 0
    boilerplate_lines: int = 0
    removed: int = 0
    skipped: int = 0
    chunks: int = 0
    calls: int = 0
    retries: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    guessed_usd: float = 0.0
    bytes_seen: int = 0
    bytes_done: int = 0
    bytes_ahead: int = 0
    expected: int = 0
    bytes_expected: int = 0
    listed: bool = False
    seconds: float = 0.0
    error: str = ""
    paused: bool = False
    stages: list[StageProgress] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def shown_state(self) -> str:
        """The state for people: ``paused`` while it is held back and not over."""
        return "paused" if self.paused and self.state in ("waiting", "running", "watching") else self.state

    @property
    def finished(self) -> int:
        """Files that need no more work."""
        return self.done + self.unchanged + self.quarantined

    @property
    def files_total(self) -> int:
        """Files in all, as far as is known."""
        return max(self.seen, self.expected, self.finished)  # rows to learn from may be in quarantine besides

    @property
    def total(self) -> int:
        """All that has to be gone through, as far as is known: bytes of files, or rows."""
        return self.files_total if self.unit == "row" else max(self.bytes_seen, self.bytes_expected)

    @property
    def reached(self) -> int:
        """What of ``total`` is done, or nearly."""
        return self.finished if self.unit == "row" else self.bytes_done + self.bytes_ahead

    @property
    def passages(self) -> int:
        """Passages embedded by this run; those that are stored already are ``chunks``."""
        embedded = next((stage.done for stage in self.stages if stage.name == "embed"), 0)
        return max(self.chunks, embedded)

    @property
    def doing(self) -> str:
        """What has to be done before it can go on, for people, or an empty string."""
        return next((stage.doing for stage in self.stages if stage.doing), "")

    @property
    def limiting(self) -> StageProgress | None:
        """The stage that limits the run so far, or ``None`` while nothing was done."""
        busy = {stage.name: stage.busy_s for stage in self.stages}
        name = slowest(busy, {stage.name: stage.workers for stage in self.stages})
        return next((stage for stage in self.stages if stage.name == name), None)

    def count_listed(self, chunk: Chunk) -> None:
        """Count what was listed."""
        self.seen += chunk.seen
        self.bytes_seen += chunk.seen_bytes
        self.unchanged += chunk.unchanged
        self.quarantined += chunk.quarantined
        self.count_rejected(chunk.reasons)
        self.bytes_done += chunk.unchanged_bytes
        self.skipped += chunk.skipped

    def count_rejected(self, reasons: Mapping[str, int]) -> None:
        """Count files that cannot be used by their reasons."""
        self.rejected = _sum(self.rejected, reasons.items())

    def count_findings(self, findings: Findings) -> None:
        """Count what was found in a document that is done."""
        if findings.filtered:
            self.filtered = _sum(self.filtered, [(findings.filtered, 1)])
        self.boilerplate_lines += findings.lines
        self.near_duplicates += findings.similarity < 1
        self.masked = _sum(self.masked, findings.masked)

    def count_copy(self, document: Document) -> None:
        """Count a source whose document was there already; what is only nearly the same counts elsewhere."""
        if document.findings.similarity >= 1:
            self.duplicates += 1
            self.duplicate_bytes += document.file.size

    def totals(self) -> dict[str, Any]:
        """Return the counters that ``--json`` prints for this pipeline."""
        counters = asdict(self)
        if (limiting := self.limiting) is not None:
            counters["slowest_stage"] = limiting.name
        for internal in _INTERNAL:
            del counters[internal]
        counters |= self.figures
        if self.unit == "row":
            for of_files in _OF_FILES:
                del counters[of_files]
        if self.error:
            counters["error"] = self.error
        return counters


def _sum(counts: dict[str, int], more: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the sums by name, sorted; the same dictionary if there is nothing to add."""
    sums = dict(counts)
    for name, count in more:
        sums[name] = sums.get(name, 0) + count
    return dict(sorted(sums.items())) if sums != counts else counts


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    Attributes:
        pipelines: Progress of each pipeline, final.
        seconds: Wall time of the whole run.
        peak_rss_mib: Largest resident memory of the engine process plus its
            workers, in MiB.
        lost_usd: What was charged at its start, as a guess, for calls that were in flight when
            earlier programs on the home were killed, US dollars; in no pipeline's cost.
    """

    pipelines: dict[str, PipelineProgress]
    seconds: float
    peak_rss_mib: float
    lost_usd: float = 0.0

    @property
    def quarantined(self) -> int:
        """Number of items in quarantine, all pipelines together."""
        return sum(progress.quarantined for progress in self.pipelines.values())

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the pipelines that failed."""
        return tuple(name for name, progress in self.pipelines.items() if progress.state == "failed")

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``ingest`` and ``run`` print with ``--json``."""
        return {
            "pipelines": {name: progress.totals() for name, progress in self.pipelines.items()},
            "seconds": round(self.seconds, 3),
            "peak_rss_mib": round(self.peak_rss_mib, 1),
            **({"lost_usd": self.lost_usd} if self.lost_usd else {}),
        }
