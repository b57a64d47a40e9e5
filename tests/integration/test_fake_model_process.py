"""The fake model server as a process of its own: its words, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tenire.testing import FakeModelProcess, FakeModelServer, ServerFaults

SERVER = [sys.executable, "-m", "tenire.testing.fake_model_server"]


def ask(base_url: str, prompt: str) -> int:
    body = {"model": "some", "messages": [{"role": "user", "content": prompt}]}
    with urlopen(Request(f"{base_url}/chat/completions", json.dumps(body).encode())) as reply:
        return int(reply.status)


def test_a_server_in_another_process_has_the_same_face() -> None:
    settings = {"rpm": 10, "latency": "uniform:0:0.001", "faults": ServerFaults(slow=0.0), "outages": [(100, 5)]}
    with FakeModelProcess(**settings) as server:
        assert psutil.pid_exists(server.pid)
        assert [ask(server.base_url, word) for word in ("a", "b", "a")] == [200] * 3
        told = server.statistics()
        assert (told.answered, told.paid_twice, told.limits) == (3, 1, {"requests": 10})
        assert [record.status for record in server.records()] == [200] * 3
        assert server.share("requests", since=0, until=60) == pytest.approx(0.3)
        pid = server.pid
    assert not psutil.pid_exists(pid)
    with pytest.raises(RuntimeError, match="with block"):
        server.statistics()


def test_a_function_cannot_be_sent_to_another_process() -> None:
    with pytest.raises(ValueError, match="poison must be a word or a number"):
        FakeModelProcess(poison=str.isalpha)


def test_a_taken_port_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with FakeModelProcess() as first:
        second = FakeModelProcess(port=int(first.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="did not start"):
            second.start()
    assert "name another one, or 0 for any that is free" in capfd.readouterr().err


@pytest.mark.parametrize("port", [99_999_999, 65_536, -1, True, 1.5, "80"])
def test_a_port_that_does_not_exist_is_refused(port: Any) -> None:
    for server in (FakeModelServer, FakeModelProcess):
        with pytest.raises(ValueError, match=f"from 0 .any free one. to 65535, got {port!r}"):
            server(port=port)


def test_a_port_that_does_not_exist_is_refused_on_the_command_line() -> None:
    ended = subprocess.run([*SERVER, "--port", "99999999"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "error: port must be a whole number from 0 (any free one) to 65535, got 99999999" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="a process is ended there without being told")
def test_it_says_what_happened_when_it_is_told_to_end() -> None:
    words = [
        "--rpm",
        "5",
        "--latency",
        "0.01",
        "--models",
        "a,some",
        "--faults",
        "hang=0.0,slow=0",
        "--outages",
        "50:2,60:2:429",
    ]
    with subprocess.Popen([*SERVER, *words], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert ask(server.stdout.readline().strip(), "Hello") == 200
        server.terminate()
        told = json.loads(server.stdout.read())
    assert server.returncode == 0
    assert (told["answered"], told["limits"]) == (1, {"requests": 5})


def test_it_ends_with_its_parent() -> None:
    program = (
        "import subprocess, sys\n"
        f"server = subprocess.Popen({SERVER!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(server.pid, server.stdout.readline().strip(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as parent:  # type: ignore[call-overload]
        pid, base_url = parent.stdout.readline().split()
        assert ask(base_url, "Hello") == 200
        server = psutil.Process(int(pid))
        parent.kill()
    psutil.wait_procs([server], timeout=10)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rpm", "0"], "rpm must be a whole number from 1, got 0"),
        (["--rpm", "many"], "Expected `int | null`"),
        (["--faults", "hangs=1"], "hangs"),
        (["--settings", '{"rpn": 1}'], "rpn"),
        (["--settings", "[1]"], "Expected `object`"),
        (["--settings", "{"], "Input data was truncated"),
    ],
)
def test_an_impossible_setting_is_refused_in_one_line(words: list[str], told: str) -> None:
    ended = subprocess.run([*SERVER, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert told in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
