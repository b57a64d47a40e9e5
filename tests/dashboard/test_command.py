"""``tenire dashboard`` as a process: its first line, its answer, its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

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


@pytest.mark.skipif(sys.platform != "linux", reason="of the loopback network other systems have one address only")
def test_who_lets_another_machine_in_is_warned(tmp_path: Path) -> None:
    words = ["dashboard", "--home", str(tmp_path / "home"), "--port", "0", "--no-open"]
    # An address that counts as one of others, and that none of them reaches.
    command = [sys.executable, "-m", "tenire", *words, "--host", "127.0.0.2", "--allow-remote"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith("http://127.0.0.2:")
            warning = "warning: other machines can reach this page, and nothing is encrypted\n"
            assert process.stderr.readline() == warning
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends it at once there")
def test_a_run_serves_its_own_page_and_ends_with_the_page_open(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A lantern stands at the harbour.", encoding="utf-8")
    words = ["ingest", "docs", "--home", "home", "--embedder", "static", "--watch", "--dashboard", "--json"]
    command = [sys.executable, "-m", "tenire", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            head, _, token = process.stdout.readline().strip().partition("?token=")
            with urllib.request.urlopen(f"{head}events?token={token}", timeout=60) as stream:
                told = shown(stream)
                while not (told["link"] == "attached" and "ingest" in told["pipelines"]):
                    told = shown(stream)
                assert told["engine"]["pid"] == process.pid
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert json.loads(output.splitlines()[-1])["interrupted"] is True


def shown(stream: Any) -> dict[str, Any]:
    """Return what the next message of a stream tells."""
    while not (line := stream.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    message: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return message


def test_a_run_asked_for_a_page_that_cannot_be_served_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    code = "import sys; sys.modules['uvicorn'] = None; from tenire.cli import main; sys.exit(main())"
    words = ["ingest", "a.md", "--home", "home", "--embedder", "static", "--dashboard"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert "tenire[dashboard]" in done.stderr
    assert not (tmp_path / "home").exists()
