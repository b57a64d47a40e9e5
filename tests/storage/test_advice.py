"""What is advised follows from what the system said."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tenire.errors import StoreError
from tenire.storage.advice import advice, shortage
from tenire.storage.home import Home, HomeLock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EMFILE, "open files"), (errno.ENFILE, "open files"), (errno.ENOSPC, "space"), (errno.EACCES, "ask")],
)
def test_the_systems_reason_decides_what_is_advised(number: int, told: str) -> None:
    assert told in advice(OSError(number, os.strerror(number)), "ask the owner")


def test_a_system_that_is_short_is_told_apart_from_other_errors() -> None:
    assert "ulimit -u" in str(shortage(RuntimeError("can't start new thread")))
    assert "memory" in str(shortage(OSError(errno.ENOMEM, "")))
    assert "memory" in str(shortage(MemoryError()))
    others = (RuntimeError("no"), OSError(errno.ENOSPC, ""), OSError(), ValueError("can't start new thread"))
    assert [shortage(error) for error in others] == [None] * 4


def test_what_is_no_error_of_the_system_gets_the_usual_advice() -> None:
    assert advice(ValueError(), "ask") == "ask"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_who_has_no_more_files_is_not_sent_to_another_disk(tmp_path: Path) -> None:
    full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with mock.patch.object(os, "open", side_effect=full), pytest.raises(StoreError) as caught:
        HomeLock(Home(tmp_path / "home")).acquire()
    assert "open files" in str(caught.value.hint)
