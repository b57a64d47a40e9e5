from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.channel import messages, peer
from tenire.concurrency.loops import loop_factory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from tenire.concurrency.loops import LoopKind

    Script = Callable[[str], ModuleType]


def fuzz(script: Script, directory: Path, frames: int, kind: LoopKind = "asyncio") -> Any:
    with asyncio.Runner(loop_factory=loop_factory(kind)) as runner:
        return runner.run(script("channel_fuzz").fuzz(directory, frames=frames))


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_wrong_frames_disturb_nobody(script: Script, tmp_path: Path, kind: LoopKind) -> None:
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    outcome = fuzz(script, tmp_path, 3_000, kind)
    assert outcome.problems == []
    assert outcome.frames == 3_000
    assert outcome.dropped > 1_000
    assert outcome.calls > outcome.witnessed > 100
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_ends_the_wrong_way_is_found(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages.msgspec, "DecodeError", ZeroDivisionError)  # so that the real one is not caught
    assert any("DecodeError" in problem for problem in fuzz(script, tmp_path, 200).problems)


def test_an_answer_that_belongs_to_somebody_else_is_found(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest: list[Any] = [None]
    send = peer.Peer._send_answer

    def mixed_up(self: peer.Peer, number: int, value: Any) -> None:
        send(self, number, latest[0])
        latest[0] = value

    monkeypatch.setattr(peer.Peer, "_send_answer", mixed_up)
    assert any("the witness got" in problem for problem in fuzz(script, tmp_path, 200).problems)
