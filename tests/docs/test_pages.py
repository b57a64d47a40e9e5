"""Links lead somewhere, and the command line's page says what ``--help`` says."""

from __future__ import annotations

import runpy
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def docs() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "docs.py"))


def test_the_page_is_current_and_every_link_leads_somewhere() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        ("[here](docs/a.md)", False),
        ("[here](docs/a.md#second-part)", False),
        ("[here](#the-top)", False),
        ("[far](https://example.org/nothing)", False),
        ("`[no link](docs/none.md)`", False),
        ("```text\n[no link](docs/none.md)\n```", False),
        ("[gone](docs/none.md)", True),
        ("[gone](docs/a.md#third-part)", True),
        ("[gone](#nowhere)", True),
        ("![picture](docs/none.svg)", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(docs: dict[str, Any], tmp_path: Path, link: str, is_broken: bool) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# First\n\n## Second part\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(f"# The top\n\n{link}\n", encoding="utf-8")
    assert bool(docs["broken_links"](tmp_path)) is is_broken
