"""A run that is controlled from other processes, as from other terminals."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Command, Ended, Tenire, wait_until
from .scripts import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot hold a process still")


@pytest.fixture
def tenire(tmp_path: Path) -> Iterator[Tenire]:
    """Commands on a home whose name is too long for a socket's (``sun_path``)."""
    commands = Tenire(tmp_path / ("h" * 150))
    yield commands
    commands.close()


def started(tenire: Tenire, library: Path, tmp_path: Path) -> Command:
    """Two pipelines, paused before either has ended."""
    for name in ("one", "two"):
        shutil.copytree(library, tmp_path / name)
    head = 'embedder = "static"\nsource'
    file = tmp_path / "tenire.toml"
    file.write_text(f'[tenire]\ncpu = 2\n[pipelines.one]\n{head} = "one"\n[pipelines.two]\n{head} = "two"\n')
    command = tenire.start("run", file)
    wait_until(lambda: (tenire.home / "control.sock").exists())
    for name in ("one", "two"):
        paused = tenire("pause", name)
        assert (paused.code, paused.json) == (0, {"pipeline": name, "state": "paused"}), paused.err
    return command


def interrupted(command: Command) -> Ended:
    command.interrupt()
    return command.ended()


def states(tenire: Tenire) -> dict[str, str]:
    return {name: pipeline["state"] for name, pipeline in status(tenire)["pipelines"].items()}


def status(tenire: Tenire) -> dict[str, Any]:
    facts: dict[str, Any] = tenire("status").json
    return facts


@needs_signals
def test_a_run_is_paused_cancelled_and_resumed_from_outside(tenire: Tenire, library: Path, tmp_path: Path) -> None:
    command = started(tenire, library, tmp_path)
    for name in ("control.sock", "control.key"):
        assert stat.S_IMODE((tenire.home / name).lstat().st_mode) == 0o600
    assert states(tenire) == {"one": "paused", "two": "paused"}
    assert tenire("priority", "two", "low").json == {"pipeline": "two", "priority": "low"}
    assert tenire("cancel", "one").json == {"pipeline": "one", "state": "cancelled"}
    assert states(tenire) == {"one": "cancelled", "two": "paused"}, "it stays until the run ends"
    over, unknown = tenire("pause", "one"), tenire("pause", "three")
    assert (over.code, over.json["error"]["type"]) == (1, "RejectedError")
    assert (unknown.code, unknown.json["error"]["type"]) == (2, "ConfigError")
    assert tenire("resume", "two").json == {"pipeline": "two", "state": "running"}
    ended = command.ended()
    assert ended.code == 0, ended.err
    assert {name: each["state"] for name, each in ended.json["pipelines"].items()} == {
        "one": "cancelled", "two": "done",
    }  # fmt: skip
    assert "pipeline one was cancelled; everything finished is kept" in ended.err
    assert not [name for name in os.listdir(tenire.home) if name.startswith("control.")]
    nobody = tenire("pause", "two")
    assert (nobody.code, nobody.json["error"]["type"]) == (1, "ChannelError")
    assert "no engine is running" in nobody.json["error"]["message"]
    assert tenire.verify()["ok"]


@needs_signals
def test_an_engine_that_is_stuck_or_killed_is_told_apart_and_leaves_no_obstacle(
    tenire: Tenire, library: Path, tmp_path: Path
) -> None:
    command = started(tenire, library, tmp_path)
    assert status(tenire)["answers"] is True
    os.kill(command.process.pid, signal.SIGSTOP)
    facts = status(tenire)
    assert (facts["running"], facts["answers"], facts["pid"]) == (True, False, command.process.pid)
    os.kill(command.process.pid, signal.SIGCONT)
    assert status(tenire)["answers"] is True

    key = (tenire.home / "control.key").read_text()
    (tenire.home / "control.key").write_text("0" * 64)
    foreign = tenire("resume", "one")
    assert foreign.code == 1
    assert "the key is not this engine's" in foreign.json["error"]["message"]
    assert key not in foreign.out + foreign.err

    command.process.kill()
    left = command.ended()
    assert "dropped a peer: the key is not this engine's" in left.err
    assert (tenire.home / "control.sock").exists(), "a killed engine cannot tidy up"
    assert tenire("pause", "one").code == 1
    again = tenire.start("run", tmp_path / "tenire.toml")
    wait_until(lambda: status(tenire)["answers"])
    assert tenire("cancel", "one").code == 0
    assert again.ended().code == 0


@needs_signals
def test_ctrl_c_ends_a_run_that_is_paused(tenire: Tenire, library: Path, tmp_path: Path) -> None:
    def begin() -> Command:
        folder = tmp_path / str(len(tenire.started))
        folder.mkdir()
        tenire.home = folder / tenire.home.name
        return started(tenire, library, folder)

    ended = at_once(begin, interrupted)
    assert (ended.code, ended.json["interrupted"]) == (130, True)
    assert not [name for name in os.listdir(tenire.home) if name.startswith("control.")]
