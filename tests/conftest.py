"""What holds for every test: it leaves nothing behind and never blocks a loop.

- A test that leaves a task, a thread, a child process or an open file fails, and
  so does one that leaves a file in this repository or whose exceptions were never
  retrieved. ``leaks_allowed("reason")``
  excuses one test; what a library keeps for ever is listed, with its reason, in
  ``tenire.testing.leaks.ALLOWANCES``.
- Product code that blocks a running event loop raises ``BlockingError`` at the
  place, and ``time.sleep`` does so wherever it is called.
  ``blocking_allowed("reason")`` excuses one test; ``_MAY_BLOCK`` lists the rest.
- Property tests repeat themselves: the examples are the same in every run.
  ``HYPOTHESIS_PROFILE=thorough`` looks for new ones.
- ``TENIRE_TEST_LOOP=uvloop`` runs all that is not in virtual time on uvloop.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from blockbuster import BlockBuster
from scripts.postgres_cluster import Cluster, unavailable

from tenire.testing import LeakGuard, ManualClock, SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    # On a busy machine, making examples is slow now and then; that is no finding.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("repeatable"), derandomize=False, max_examples=2_000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if os.environ.get("TENIRE_TEST_LOOP") == "uvloop":
    asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A script started the tests in the background. What they start would inherit it, and mind no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MAY_BLOCK: tuple[tuple[str, str, str], ...] = (
    ("tenire/testing/executors.py", "_call", "a fake executor's function; on a real pool it is not on the loop"),
    ("shibokensupport/feature.py", "_mod_uses_pyside", "once PySide is there, it reads who imports what, and where"),
    ("playwright/_impl/_driver.py", "compute_driver_executable", "Playwright looks for its own file, once a browser"),
)
"""File, function, and why what is called below it may block a running loop."""

_GUARD = LeakGuard()
_ROOT = Path(__file__).parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates, of file names that are no text: reports go from one process to another as UTF-8."""
    report = yield
    report.sections = [(_sendable(title), _sendable(text)) for title, text in report.sections]
    if report.failed and (text := str(report.longrepr)) != (sendable := _sendable(text)):
        report.longrepr = sendable
    return report


def _sendable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


class _LostErrors(logging.Handler):
    """Collects what asyncio can only log: exceptions that nobody retrieved, tasks destroyed while pending."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


def _excused(request: pytest.FixtureRequest, name: str) -> bool:
    marker = request.node.get_closest_marker(name)
    if marker is None:
        return False
    if not marker.args or not str(marker.args[0]).strip():
        pytest.fail(f"the mark {name} needs a reason: @pytest.mark.{name}('…')", pytrace=False)
    return True


def _files_here() -> set[str]:
    """Return what lies in the repository's top folder, without the caches of tools."""
    return {name for name in os.listdir(_ROOT) if not name.startswith(".") or name == ".tenire"}


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it leaves something behind; set up first, so compared last."""
    if _excused(request, "leaks_allowed"):
        yield
        return
    before, files = _GUARD.snapshot(), _files_here()
    lost = _LostErrors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(lost)
    try:
        yield
        # The young generations only: what the test itself dropped. A full
        # collection after each test would double the time of the suite.
        gc.collect(1)
    finally:
        logger.removeHandler(lost)
    problems = [str(leak) for leak in _GUARD.compare(before)] + lost.messages
    problems += [f"file in the repository: {name}" for name in sorted(_files_here() - files)]
    if problems:
        pytest.fail("left behind by the test:\n  " + "\n  ".join(problems), pytrace=False)


@pytest.fixture(scope="session")
def _states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("states")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _state_of_its_own(_states: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what programs of one user share from the user's own programs, and from other tests."""
    monkeypatch.setenv("TENIRE_STATE", str(next(_states)))


@pytest.fixture(scope="session")
def _block_guard() -> Iterator[BlockBuster]:
    # Of the product only: a test may write a small file from a coroutine. The
    # virtual loop stands below the frames of every test that uses it.
    guard = BlockBuster("tenire", excluded_modules=["tenire.testing"])
    guard.functions["time.sleep"] = BlockBuster().functions["time.sleep"]
    for function in guard.functions.values():
        for file, name, _ in _MAY_BLOCK:
            function.can_block_in(file, name)
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.fixture(autouse=True)
def _loop_never_blocked(
    request: pytest.FixtureRequest, _block_guard: BlockBuster, _nothing_left_behind: None
) -> Iterator[None]:
    """Let blocking calls raise while an event loop runs in the calling thread."""
    if not _excused(request, "blocking_allowed"):
        yield
        return
    _block_guard.deactivate()
    yield
    _block_guard.activate()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster | None]:
    """A private PostgreSQL server for all tests that ask for a database; none where there can be none."""
    if unavailable():
        yield None
        return
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def new_database(postgres: Cluster | None) -> Callable[[], str]:
    """Returns the address of an empty database; skips the test where there can be none."""

    def make() -> str:
        if postgres is None:
            pytest.skip(unavailable())
        return postgres.database("test")

    return make


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def sim_loop() -> Iterator[SimLoop]:
    """A virtual loop (seed 0); what it leaves unhandled fails the test."""
    with SimLoop() as loop:
        yield loop
