from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "find_python.sh"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="make finds its Python with a shell script")


def command(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    file.chmod(0o755)


def real(folder: Path, name: str) -> None:
    command(folder, name, f'exec "{sys.executable}" "$@"')


def old(folder: Path, name: str) -> None:
    command(folder, name, 'case "$2" in *print*) echo "3.9 /somewhere/$0" ;; *) exit 1 ;; esac')


def find(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    old(tmp_path, "python3.13")
    real(tmp_path, "python3")
    result = find(tmp_path)
    assert result.returncode == 0
    assert Path(result.stdout.strip()).exists()


def test_a_command_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    command(tmp_path, "python3.13", "exit 127")
    real(tmp_path, "python3.11")
    assert find(tmp_path).returncode == 0


def test_only_old_ones_are_refused_and_named(tmp_path: Path) -> None:
    old(tmp_path, "python3")
    result = find(tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "needs Python 3.11 or newer, but python3 is 3.9" in result.stderr
    assert "PYTHON=/path" in result.stderr


def test_the_named_one_is_taken_or_refused_but_not_replaced(tmp_path: Path) -> None:
    real(tmp_path, "python3")
    old(tmp_path, "mine")
    assert find(tmp_path, "mine").returncode == 1
    assert find(tmp_path, "missing").returncode == 1
    assert find(tmp_path, str(tmp_path / "python3")).returncode == 0
