"""What tests of documents share."""

from __future__ import annotations

import pytest

from tenire.documents.language_model import identifier


@pytest.fixture(scope="session", autouse=True)
def model_of_languages() -> None:
    """Have the model mapped before a test looks at what it leaves behind: its file stays open."""
    identifier()
