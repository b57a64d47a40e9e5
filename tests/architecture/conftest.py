"""A copy of the house in which a test may plant a violation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LINT = "from importlinter.cli import lint_imports_command as main; main()"


@dataclass(frozen=True)
class House:
    """The project's sources with their configuration, at ``root``."""

    root: Path

    @property
    def package(self) -> Path:
        return self.root / "src" / "tenire"

    def plant(self, where: str, code: str) -> None:
        """Add code at the end of a module of the package, or make that module."""
        file = self.package / where
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"\n{code}\n")

    def lint_imports(self, *contracts: str, config: str = "pyproject.toml") -> subprocess.CompletedProcess[str]:
        """Check the named contracts, or all, in a process that sees this house alone."""
        chosen = [word for contract in contracts for word in ("--contract", contract)]
        return subprocess.run(
            [sys.executable, "-c", LINT, "--no-cache", "--no-logo", "--config", config, *chosen],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )


@pytest.fixture
def house() -> House:
    return House(ROOT)


@pytest.fixture
def copied_house(tmp_path: Path) -> House:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts").mkdir()
    for config in ("pyproject.toml", "scripts/runtime_imports.toml"):
        shutil.copyfile(ROOT / config, tmp_path / config)
    return House(tmp_path)
