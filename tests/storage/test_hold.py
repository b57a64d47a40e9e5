"""All of one engine share a home; no other engine gets in meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import HomeBusyError, InternalError, StoreError
from tenire.storage.hold import HomeHold
from tenire.storage.home import Home

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_one_opens_and_the_last_one_closes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    hold, other = HomeHold(home, clock=SYSTEM_CLOCK), HomeHold(home, clock=SYSTEM_CLOCK)
    assert not home.path.exists()
    with pytest.raises(InternalError, match="nobody holds"):
        _ = hold.ledger
    ledger = hold.enter()
    assert hold.enter() is ledger is hold.ledger
    hold.leave()
    with pytest.raises(HomeBusyError) as refused:
        other.enter()
    assert refused.value.pid == os.getpid()
    assert ledger.totals().documents == 0
    hold.leave()
    other.enter()
    other.leave()
    assert home.owner() is None


def test_a_damaged_ledger_is_refused_and_the_home_is_free_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.ledger_path.write_bytes(b"nonsense" * 1000)
    hold = HomeHold(home, clock=SYSTEM_CLOCK)
    with pytest.raises(StoreError) as refused:
        hold.enter()
    assert refused.value.hint
    assert home.owner() is None
