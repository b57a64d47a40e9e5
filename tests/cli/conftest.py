"""Stand-ins for ``tenire.app``, so that these tests see the command line alone."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tenire.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Run:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> Any:
        """The JSON object on the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


@dataclass
class App:
    """Replaces modules of ``tenire.app`` and records what they were asked."""

    monkeypatch: pytest.MonkeyPatch
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def put(self, module: str, **functions: Callable[..., Any]) -> None:
        fake = ModuleType(f"tenire.app.{module}")
        for name, function in functions.items():
            setattr(fake, name, function)
        self.monkeypatch.setitem(sys.modules, fake.__name__, fake)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    return App(monkeypatch)


@pytest.fixture
def tenire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs a command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TENIRE_HOME", raising=False)

    def run(*words: str) -> Run:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return run
