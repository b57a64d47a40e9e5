from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenire.errors import ConfigError, PipelineError
from tenire.pipeline.rows.output import RowOutput

OWN = b'{"id":1,"output":"x","usage":{}}\n'


def output(path: Path) -> RowOutput:
    return RowOutput(path, pipeline="p", keys=("id", "output", "usage"))


def test_lines_are_appended_and_replaced(tmp_path: Path) -> None:
    out = output(tmp_path / "out.jsonl")
    assert out.mark() == ""
    out.append([])
    assert not out.path.exists()
    out.append([b"1\n", b"2\n"])
    out.append([b"3\n"])
    before = out.mark()
    assert out.path.read_bytes() == b"1\n2\n3\n"
    out.replace([b"9\n"])
    assert out.mark() != before
    out.append([b"10\n"])
    out.close()
    out.close()
    assert out.path.read_bytes() == b"9\n10\n"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_replacement_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = output(tmp_path / "out.jsonl")
    out.replace([OWN])

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match=r"out\.jsonl cannot be written: No space left") as caught:
        out.replace([b"other\n"])
    assert caught.value.hint == "free some space on that disk"
    assert out.path.read_bytes() == OWN
    assert os.listdir(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("content", [b"", b"\n", b" \n" + OWN, OWN, OWN[:9], b'{"id":1,"output":"' + b"x" * 2_000_000])
def test_a_file_of_a_run_may_be_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out.jsonl").write_bytes(content)
    output(tmp_path / "out.jsonl").check()


@pytest.mark.parametrize(
    "content",
    [
        b"# notes\n",
        b"\n# notes after a blank line\n",
        b"\n" * 1_100_000 + b"# notes\n",
        b'{"id": 1, "text": "a"}\n',
        b"[]\n",
        b'{"id":1,"output":"x"}\n',
    ],
    ids=range(6),
)
def test_a_file_that_no_run_wrote_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match="holds something that no run wrote"):
        output(tmp_path / "out.jsonl").check()
    assert (tmp_path / "out.jsonl").read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        output(tmp_path / "no" / "out.jsonl").check()
    with pytest.raises(ConfigError, match="cannot be written"):
        output(tmp_path).check()
    output(tmp_path / "new.jsonl").check()
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")
def test_a_pipe_or_device_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.jsonl")
    for place in (tmp_path / "out.jsonl", Path(os.devnull)):
        for own in (False, True):
            with pytest.raises(ConfigError, match="it is no regular file"):
                output(place).check(own=own)
    assert (tmp_path / "out.jsonl").is_fifo()


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to(tmp_path / "elsewhere" / "real.jsonl")
    out = output(link)
    out.check()
    out.replace([OWN])
    out.append([OWN])
    out.close()
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "real.jsonl").read_bytes() == OWN * 2
    assert os.listdir(tmp_path / "elsewhere") == ["real.jsonl"]
    link.unlink()
    link.symlink_to(tmp_path / "gone" / "real.jsonl")
    with pytest.raises(ConfigError, match="does not exist"):
        out.check()
