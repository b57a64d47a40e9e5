"""Real processes: the command line as people start it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil
import pytest

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCES = str(Path(__file__).parents[2] / "src")
MOST_S = 60.0
ORPHANS_GONE_S = 2.0


def wait_until(condition: Callable[[], Any], *, at_most: float = MOST_S) -> Any:
    """Wait for a condition of another process and return what it gave; fail after ``at_most`` seconds."""
    pause = threading.Event()
    for _ in range(int(at_most / 0.02)):
        if found := condition():
            return found
        pause.wait(0.02)
    return pytest.fail(f"did not happen within {at_most} s", pytrace=False)


def left_of(family: list[psutil.Process], *, seconds: float = ORPHANS_GONE_S) -> list[psutil.Process]:
    """Return what of a family still runs after some seconds; a zombie does not, whenever its new parent takes it."""
    pause = threading.Event()
    until = SYSTEM_CLOCK.now() + seconds
    while SYSTEM_CLOCK.now() < until and any(map(_runs, family)):
        pause.wait(0.02)
    return [process for process in family if _runs(process)]


def command_line(process: psutil.Process) -> str:
    """Return it, or nothing of a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class Ended:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON object on the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def totals(self) -> dict[str, Any]:
        """The totals of ``ingest``; they always add up."""
        found: dict[str, Any] = self.json["pipelines"]["ingest"]
        return found


def _mind_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """A command that runs, in a process group of its own, as in a terminal."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.home = home
        self._group = psutil.Process(process.pid)

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        return [child for child in self._group.children() if "spawn_main" in command_line(child)]

    def family(self) -> list[psutil.Process]:
        return self._group.children(recursive=True)

    def interrupt(self) -> None:
        """Press Ctrl-C: the signal goes to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self, *, at_most: float = MOST_S) -> Ended:
        out, err = self.process.communicate(timeout=at_most)
        return Ended(self.process.returncode, out, err)


class Tenire:
    """Starts commands on one home, if need be ``through`` another program."""

    def __init__(self, home: Path, *, through: tuple[str, ...] = ()) -> None:
        self.home = home
        self.through = through
        self.started: list[Command] = []

    def start(self, *words: str | Path, options: tuple[str, ...] = ("--json", "--quiet"), **process: Any) -> Command:
        tenire = [sys.executable, "-m", "tenire"]
        command = [*self.through, *tenire, *map(os.fspath, words), "--home", os.fspath(self.home), *options]
        environment = {**os.environ, "PYTHONPATH": SOURCES, "COLUMNS": "120"}
        environment.pop("TENIRE_HOME", None)
        started = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            env=environment,
            start_new_session=True,
            # Whoever runs the tests in the background has told all its children to ignore Ctrl-C.
            preexec_fn=_mind_ctrl_c if sys.platform != "win32" else None,
            **process,
        )
        self.started.append(Command(started, self.home))
        return self.started[-1]

    def __call__(self, *words: str | Path, **options: Any) -> Ended:
        return self.start(*words, **options).ended()

    def ingest(self, *paths: str | Path, **options: Any) -> Ended:
        ended = self("ingest", *paths, "--embedder", "static", **options)
        if ended.code in (0, 3):
            totals = ended.totals
            assert totals["seen"] == totals["done"] + totals["unchanged"] + totals["quarantined"], totals
        assert "Traceback" not in ended.err
        return ended

    def verify(self) -> dict[str, Any]:
        found: dict[str, Any] = self("verify").json
        return found

    def close(self) -> None:
        for command in self.started:
            pipes: list[IO[str] | None] = [command.process.stdout, command.process.stderr]
            if command.process.poll() is None:
                command.process.kill()
                command.process.wait()
            for pipe in pipes:
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def tenire(tmp_path: Path) -> Iterator[Tenire]:
    commands = Tenire(tmp_path / "home")
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some dozens of real files: enough for a few commits."""
    folder = tmp_path_factory.mktemp("library")
    found = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*/*.py"))
    found = [path for path in found if 2_000 < path.stat().st_size < 60_000 and "site-packages" not in path.parts]
    random.Random(0).shuffle(found)
    for number, path in enumerate(found[:120]):
        target = folder / f"part{number % 5}" / f"{number}-{path.name}"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return folder
