"""A real Chromium, where there is one; skipped in sight where there is none."""

from __future__ import annotations

import pytest

from tenire.browser import find_chromium
from tenire.errors import MissingExtraError


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    pytest.importorskip("playwright", reason="the extra browser is not installed")
    try:
        return find_chromium()
    except MissingExtraError as error:
        pytest.skip(f"no Chromium is installed ({error.hint})")
