from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "system_packages.py"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("system_packages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_says_nothing_where_nothing_is_missing_or_nothing_can_be_done(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "apt_get", lambda *_, **__: pytest.fail("there is nothing to install"))
    monkeypatch.setattr(script, "can_install", lambda: True)
    monkeypatch.setattr(script, "missing", list)
    assert script.main([]) == 0
    monkeypatch.setattr(script, "can_install", lambda: False)
    monkeypatch.setattr(script, "missing", lambda: pytest.fail("nobody can install it"))
    assert script.main([]) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_installed_is_said_and_fails_nothing(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def apt_get(*words: str, log: Path) -> bool:
        asked.append(words)
        log.unlink()
        log.touch()
        return False

    monkeypatch.setattr(script, "apt_get", apt_get)
    monkeypatch.setattr(script, "can_install", lambda: True)
    monkeypatch.setattr(script, "missing", lambda: ["xvfb"])
    monkeypatch.setattr(script, "known", list)
    assert script.main([]) == 0
    assert asked == [("update",), ("install", "xvfb")]
    said = capsys.readouterr().out
    assert "installing for tests of windows, pages and a server: xvfb" in said
    assert "could not install xvfb; their tests are skipped" in said
    Path(said.rsplit("(", 1)[1].split(")")[0]).unlink()
