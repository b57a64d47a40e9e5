"""``tenire dashboard`` as a process: its first line, its answer, its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends it at once there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_answers_and_ends_with_a_page_open(tmp_path: Path, number: int) -> None:
    words = ["dashboard", "--home", str(tmp_path / "home"), "--port", "0", "--no-open", "--json"]
    command = [sys.executable, "-m", "tenire", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            told = json.loads(process.stdout.readline())
            assert (told["address"], f":{told['port']}/?token=" in address) == (address, True)
            head, _, token = address.partition("?token=")
            with urllib.request.urlopen(f"{head}events?token={token}", timeout=60) as stream:
                assert stream.readline().startswith(b"id: ")
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    urllib.request.urlopen(f"{head}events", timeout=60)
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "what runs goes on" in errors
    assert not (tmp_path / "home").exists()


def test_another_machine_is_let_in_with_a_flag_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tenire", "dashboard", "--home", str(tmp_path), "--host", "0.0.0.0", "--no-open"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--allow-remote" in done.stderr
