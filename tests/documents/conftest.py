"""What tests of documents share."""

from __future__ import annotations

import pytest

from tenire.documents.language_model import identifier

from . import samples


@pytest.fixture(scope="session", autouse=True)
def model_of_languages() -> None:
    """Have the model mapped before a test looks at what it leaves behind: its file stays open."""
    identifier()


@pytest.fixture(scope="session")
def parser() -> None:
    """Start the threads that the parser of Office formats keeps for as long as the process lives."""
    from tenire.documents.readers import read
    from tenire.documents.readers.reading import Raw
    from tenire.documents.recognition import Format

    read(Format.PDF, Raw("a.pdf", "/a.pdf", samples.pdf("words")))
