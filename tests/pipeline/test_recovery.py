"""Crash anywhere, start again: ledger and store agree, and the end is what an undisturbed run gives."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tenire.pipeline.classify import Decision, classify
from tenire.pipeline.journal import Journal
from tenire.pipeline.verify import verify
from tenire.protocols import Rejection, SourceFile
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    Crashes = str | tuple[int, bool] | None

PIPELINES = st.sampled_from(["p", "q"])
# Few keys: most bugs need the same file, or the same content, twice.
PATHS = st.sampled_from(["/a", "/b", "/\udcff"])
BAD = "\0"
CONTENTS = st.sampled_from(["", "one", "two words", "xx words", BAD])
FILES = st.tuples(PIPELINES, PATHS)
# Where the process dies: at the n-th transaction of the ledger (before or after it
# is committed), or in the store (before or after it applied a batch).
CRASHES = st.one_of(
    st.none(),
    st.sampled_from(["before commit", "after commit"]),
    st.tuples(st.integers(1, 9), st.booleans()),
)


class CrashingRuns(RuleBasedStateMachine):
    """Files of two pipelines change; runs over them are killed anywhere."""

    make_document: Any
    make_vectors: Any
    make_store: Any

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Home(Path(self.folder.name) / "home")
        self.store = self.make_store()
        self.crash = self.store.crash
        self.files: dict[tuple[str, str], tuple[str, int]] = {}
        self.clock = 0
        self.countdown: tuple[int, bool] | None = None
        self.ledger: Ledger | None = None
        self.open()

    # ---- the process

    def open(self) -> None:
        self.ledger = Ledger.open(self.home)
        database = self.ledger._database
        writing = database.writing

        @contextmanager
        def crashing(*, durable: bool = False) -> Iterator[Any]:
            left, after = self.countdown or (0, False)
            self.countdown = (left - 1, after) if left else None
            with writing(durable=durable) as connection:
                yield connection
                if left == 1 and not after:
                    raise self.crash
            if left == 1:
                raise self.crash

        database.writing = crashing  # type: ignore[method-assign]
        self.journal = Journal(self.ledger, self.store)

    def kill(self) -> None:
        assert self.ledger is not None
        self.ledger.close()
        self.store.crash_at = ""
        self.countdown = None
        self.open()

    def arm(self, crash: Crashes) -> None:
        if isinstance(crash, str):
            self.store.crash_at = crash
        else:
            self.countdown = crash

    def start_again(self, crash: Crashes) -> None:
        self.kill()
        self.arm(crash)
        try:
            self.journal.recover()
        except self.crash:
            self.kill()
            self.journal.recover()
        self.store.crash_at = ""
        self.countdown = None
        report = verify(self.ledger, self.store)
        assert report.ok, report
        assert report.pending == 0

    def teardown(self) -> None:
        assert self.ledger is not None
        self.ledger.close()
        self.folder.cleanup()

    # ---- what a run does

    def run_once(self, pipeline: str, at_once: int) -> None:
        assert self.ledger is not None
        run = self.ledger.runs.start(pipeline, recipe="r1")
        listed = [
            SourceFile(path, len(content), mtime)
            for (name, path), (content, mtime) in sorted(self.files.items())
            if name == pipeline
        ]
        known = self.ledger.sources.known(run, listed)
        work, touched = [], []
        for file in listed:
            decision = classify(file, known.get(file.path), recipe="r1")
            content = self.files[pipeline, file.path][0]
            if decision is Decision.TOUCHED:
                same = known[file.path].content_hash == self.make_document(file.path, content).content_hash
                decision = Decision.UNCHANGED if same else Decision.CHANGED
                if same:
                    touched.append(file)
            if decision in (Decision.NEW, Decision.CHANGED):
                work.append((file, content))
        self.ledger.sources.touched(run, touched)
        for first in range(0, len(work), at_once):
            self.commit(run, work[first : first + at_once])
        for paths in self.ledger.sources.vanished(run, at_once=at_once):
            self.journal.commit(run, removed=paths)
        self.ledger.runs.finish(run, "done", {"seen": len(listed)})

    def commit(self, run: Any, work: list[tuple[SourceFile, str]]) -> None:
        documents, rejections = [], []
        for file, content in work:
            document = self.make_document(file.path, content, mtime_ns=file.mtime_ns)
            if content.startswith(BAD):
                rejections.append(Rejection(file, "validate", f"{file.path} is bad", document.content_hash))
            else:
                documents.append(document)
        absent = {document.id for document in self.journal.absent(documents)}
        embedded = [document for document in documents if document.id in absent]
        linked = [document for document in documents if document.id not in absent]
        result = self.journal.commit(run, embedded, self.make_vectors(*embedded), linked=linked, rejections=rejections)
        assert not result.unlinked

    # ---- what happens

    @rule(contents=st.dictionaries(FILES, CONTENTS, min_size=1, max_size=6))
    def write(self, contents: dict[tuple[str, str], str]) -> None:
        self.clock += 1
        self.files |= {key: (content, self.clock) for key, content in contents.items()}

    @rule(source=FILES, copy=FILES, keep=st.booleans())
    def copy_or_move(self, source: tuple[str, str], copy: tuple[str, str], *, keep: bool) -> None:
        if source in self.files:
            self.files[copy] = self.files[source] if keep else self.files.pop(source)

    @rule(keys=st.sets(FILES, min_size=1))
    def touch(self, keys: set[tuple[str, str]]) -> None:
        self.clock += 1
        self.files |= {key: (self.files[key][0], self.clock) for key in keys & self.files.keys()}

    @rule(keys=st.sets(FILES, min_size=1), pipeline=PIPELINES, crash=CRASHES)
    def remove_for_one_run(self, keys: set[tuple[str, str]], pipeline: str, crash: Crashes) -> None:
        """Files are away while a run is killed, and then back as if nothing had been."""
        away = {key: self.files.pop(key) for key in keys & self.files.keys()}
        self.run_killed(pipeline, 2, crash, None)
        self.files |= away

    @rule(keys=st.sets(FILES, min_size=1))
    def remove(self, keys: set[tuple[str, str]]) -> None:
        for key in keys & self.files.keys():
            del self.files[key]

    @rule()
    def retry(self) -> None:
        assert self.ledger is not None
        self.ledger.quarantine.retry()

    @rule(remembers=st.booleans())
    def the_store_may_not_remember_removals(self, *, remembers: bool) -> None:
        self.store.remembers_removals = remembers

    @rule(
        contents=st.dictionaries(FILES, CONTENTS, min_size=1, max_size=6),
        gone=st.sets(FILES, max_size=2),
        at_once=st.integers(1, 4),
        crash=CRASHES,
    )
    def change_and_run_killed(
        self, contents: dict[tuple[str, str], str], gone: set[tuple[str, str]], at_once: int, crash: Crashes
    ) -> None:
        self.write(contents)
        self.remove(gone)
        for pipeline in ("p", "q"):
            self.run_killed(pipeline, at_once, crash, None)

    @rule(pipeline=PIPELINES, at_once=st.integers(1, 4), crash=CRASHES, second=CRASHES)
    def run_killed(self, pipeline: str, at_once: int, crash: Crashes, second: Crashes) -> None:
        """A run that dies, and a start that may die too."""
        self.arm(crash)
        try:
            self.run_once(pipeline, at_once)
        except self.crash:
            self.start_again(second)
        self.store.crash_at = ""
        self.countdown = None

    @rule(
        contents=st.dictionaries(FILES, CONTENTS, min_size=1),
        pipeline=PIPELINES,
        at_once=st.integers(1, 4),
        where=st.sampled_from(["before commit", "after commit"]),
    )
    def run_failed_but_the_process_lives(
        self, contents: dict[tuple[str, str], str], pipeline: str, at_once: int, where: str
    ) -> None:
        self.write(contents)
        self.store.crash_at = where
        try:
            self.run_once(pipeline, at_once)
        except self.crash:
            self.run_once(pipeline, at_once)
        self.store.crash_at = ""

    @rule(at_once=st.integers(1, 4))
    def settle_everything(self, at_once: int) -> None:
        assert self.ledger is not None
        for pipeline in ("p", "q"):
            self.journal.recover()
            self.run_once(pipeline, at_once)
        good = {key: content for key, (content, _) in self.files.items() if not content.startswith(BAD)}
        expected = self.undisturbed_rows(set(good.values()))
        assert sorted(self.store.rows) == expected
        report = verify(self.ledger, self.store)
        assert report.ok, report
        assert (report.documents, report.chunks) == (len(good), len(expected))
        quarantined = {(entry.pipeline, entry.source) for entry in self.ledger.quarantine.entries()}
        assert quarantined == self.files.keys() - good.keys()
        assert self.ledger.quarantine.count() == len(quarantined)
        assert not any(entry.retrying for entry in self.ledger.quarantine.entries())
        assert self.ledger.totals().unique_documents == len(set(good.values()))

    def undisturbed_rows(self, contents: set[str]) -> list[tuple[str, int, float]]:
        rows = []
        for content in contents:
            document = self.make_document("", content)
            vectors = self.make_vectors(document)
            rows += [(document.id, p.ordinal, float(vectors[p.ordinal][0])) for p in document.passages]
        return sorted(rows)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        report = verify(self.ledger, self.store)
        assert report.ok, report


@pytest.mark.slow
def test_any_sequence_of_changes_and_crashes_ends_like_an_undisturbed_run(
    store: Any, document: Any, vectors: Any
) -> None:
    class Machine(CrashingRuns):
        make_store = staticmethod(type(store))
        make_document = staticmethod(document)
        make_vectors = staticmethod(vectors)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=settings().max_examples * 6 // 10,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
