"""What tests of several components need."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keep finalisers of what other tests left out of the way: an interrupt in one is lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
