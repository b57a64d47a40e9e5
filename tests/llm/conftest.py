"""What tests of clients leave behind: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .engines import close_timers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _timers_closed(_nothing_left_behind: None) -> Iterator[None]:
    yield
    close_timers()
