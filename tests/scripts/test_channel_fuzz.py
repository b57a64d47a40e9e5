from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.concurrency.channel import messages, peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    import pytest

    Script = Callable[[str], ModuleType]


def fuzz(script: Script, directory: Path, frames: int, seed: int = 0) -> Any:
    return asyncio.run(script("channel_fuzz").fuzz(directory, frames=frames, seed=seed))


def test_wrong_frames_disturb_nobody(script: Script, tmp_path: Path) -> None:
    outcome = fuzz(script, tmp_path, 3_000)
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
