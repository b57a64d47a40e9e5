"""Where a user's programs keep what they share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tenire.errors import StoreError
from tenire.storage.state_directory import make_state_directory, state_directory


def test_the_environment_names_it(tmp_path: Path) -> None:
    named = tmp_path / "elsewhere"
    for platform in ("linux", "darwin", "win32"):
        assert state_directory({"TENIRE_STATE": str(named)}, platform) == named


def test_every_system_has_its_own_place(tmp_path: Path) -> None:
    state = str(tmp_path)
    assert state_directory({"XDG_STATE_HOME": state}, "linux") == tmp_path / "tenire"
    assert state_directory({"LOCALAPPDATA": state}, "win32") == tmp_path / "tenire"
    home = Path(os.path.expanduser("~"))
    assert state_directory({}, "linux") == home / ".local" / "state" / "tenire"
    assert state_directory({}, "darwin") == home / "Library" / "Application Support" / "tenire"
    assert state_directory({}, "win32").parts[-3:] == ("AppData", "Local", "tenire")


def test_it_is_made_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENIRE_STATE", str(tmp_path / "a" / "b"))
    made = make_state_directory()
    assert made.is_dir()
    if sys.platform != "win32":
        assert made.stat().st_mode & 0o777 == 0o700
    assert make_state_directory() == made


def test_one_that_cannot_be_made_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENIRE_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(StoreError, match="cannot be made") as caught:
        make_state_directory()
    assert "TENIRE_STATE" in str(caught.value.hint)
