"""Real runs over a few small files, with the static embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.app.config import ingest_config, load_config
from tenire.app.runs import run_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

ZEBRAS = "Zebras graze on the plains of Africa and sleep standing up."
LEDGERS = "A ledger records every payment twice, once for each side."
VOLCANOES = "Volcanoes throw ash and molten rock high into the sky."


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., RunReport]:
    """Runs what ``tenire ingest`` runs; the home is ``home`` in the test's directory."""

    def run(*paths: Path | str, home: Path | None = None, embedder: str | None = "static", **options: str) -> RunReport:
        words = [str(path) for path in paths]
        return run_config(ingest_config(words, home=home or tmp_path / "home", embedder=embedder, **options))

    return run


@pytest.fixture
def run_toml(tmp_path: Path) -> Callable[..., RunReport]:
    """Writes a configuration and runs it."""

    def run(text: str, **options: object) -> RunReport:
        file = tmp_path / "tenire.toml"
        file.write_text(f'[tenire]\nhome = "home"\ncpu = 2\n{text}')
        return run_config(load_config(file), **options)  # type: ignore[arg-type]

    return run


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
