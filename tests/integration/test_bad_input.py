"""Files that no program should stumble over, and words that the command line refuses."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.documents import samples

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Tenire

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such names nor such files")


def test_a_directory_of_strange_files_is_read_as_far_as_it_goes(tenire: Tenire, tmp_path: Path) -> None:
    folder = tmp_path / "strange"
    (folder / "sub").mkdir(parents=True)
    (folder / "new\nline.txt").write_text("alpha newline")
    (folder / "\x1b[31mred.txt").write_text("bravo escape")
    undecodable = os.fsencode(folder) + b"/bad\xff\xfe.txt"
    with open(undecodable, "wb") as file:
        file.write(b"charlie undecodable")
    (folder / "empty.txt").touch()
    (folder / ".hidden.txt").write_text("delta hidden")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "sub/linked.txt").symlink_to(folder / "new\nline.txt")
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate((64 << 20) + 1)  # sparse: one byte above the limit
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("pool")
    (folder / "pool").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "back").symlink_to(folder, target_is_directory=True)
    (folder / "zero").symlink_to("/dev/zero")
    ended = tenire.ingest(folder)
    assert ended.code == 3
    totals = ended.totals
    assert (totals["done"], totals["quarantined"], totals["skipped"]) == (5, 6, 1)
    entries = {os.path.basename(entry["source"]): entry for entry in tenire("failed").json["failed"]}
    assert set(entries) == {"huge.txt", "fifo", "loop", "pool", "dangling", "zero"}
    assert all(entry["error"] and entry["stage"] and entry["attempts"] == 1 for entry in entries.values())
    assert "64.0 MiB" in entries["huge.txt"]["error"]
    # People's terminals stay whole.
    assert "\x1b" not in tenire("search", "bravo", "--mode", "text", options=()).out
    hits = tenire("search", "charlie undecodable", "--mode", "text").json["hits"]
    assert hits[0]["source"].endswith("/bad\\udcff\\udcfe.txt")
    (hit,) = tenire("search", "newline", "--mode", "text").json["hits"]
    assert {hit["source"], *hit["also"]} == {str(folder / "new\nline.txt"), str(folder / "sub/linked.txt")}

    again = tenire.ingest(folder)
    assert (again.code, again.totals["unchanged"], again.totals["quarantined"]) == (3, 5, 6)
    report = tenire.verify()
    assert (report["ok"], report["documents"]) == (True, 5)


@pytest.mark.parametrize("kind", ["empty", "pictures"])
def test_a_directory_without_texts_is_no_failure(tenire: Tenire, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    if kind == "pictures":
        (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ended = tenire.ingest(folder)
    assert (ended.code, ended.totals["seen"]) == (0, 0)
    assert tenire.verify()["ok"]
    shutil.rmtree(folder)
    refused = tenire.ingest(folder)
    assert (refused.code, refused.json["error"]["type"]) == (2, "ConfigError")
    assert str(folder) in refused.json["error"]["message"]


DOCS = '[pipelines.docs]\nsource = "docs"\n'
MISTAKES = {
    "no file": (None, "no such file"),
    "not TOML": ("[pipelines.docs\n", "line 1"),
    "not UTF-8": (b"[pipelines.docs]\nsource = '\xff'\n", "expected UTF-8"),
    "nothing": ("", "no pipeline"),
    "unknown table": (f"[pipeline.docs]\nsource = 'docs'\n{DOCS}", 'did you mean "pipelines"'),
    "unknown key": (DOCS + "embeder = 'static'\n", 'did you mean "embedder"'),
    "unknown setting": (f"[tenire]\nmemry = 1\n{DOCS}", 'did you mean "memory"'),
    "wrong type": (DOCS + "weight = 'two'\n", "pipelines.docs.weight"),
    "impossible value": (DOCS + "weight = -1\n", "-1"),
    "bad size": (f"[tenire]\nmemory = '1 potato'\n{DOCS}", "1 potato"),
    "bad cpu": (f"[tenire]\ncpu = 0\n{DOCS}", "tenire.cpu"),
    "unknown level": (DOCS + "priority = 'hihg'\n", 'did you mean "high"'),
    "unknown embedder": (DOCS + "embedder = 'minilmm'\n", 'did you mean "minilm"'),
    "missing source": ("[pipelines.docs]\nsource = 'dcos'\n", "dcos does not exist"),
    "no source": ("[pipelines.docs]\n", "pipelines.docs.source"),
    "unknown neighbour": (DOCS + "after = ['dosc']\n", 'did you mean "docs"'),
    "circle": (DOCS + "after = ['docs']\n", "docs -> docs"),
    "unknown recipe": (DOCS + "recipe = 'documnts'\n", 'did you mean "documents"'),
    "another recipe's key": (DOCS + "prompt = 'x'\n", 'recipe = "chat"'),
    "two stores": (DOCS + "store = './a'\n[pipelines.more]\nsource = 'docs'\nstore = './b'\n", "one store"),
}


@pytest.mark.parametrize("name", ["not TOML", "unknown key", "missing source"])
def test_a_mistake_in_a_file_ends_with_2_and_creates_nothing(tenire: Tenire, tmp_path: Path, name: str) -> None:
    content, expected = MISTAKES[name]
    (tmp_path / "docs").mkdir()
    file = tmp_path / "tenire.toml"
    assert isinstance(content, str)
    file.write_text(content)
    before = sorted(tmp_path.rglob("*"))
    ended = tenire("run", file, cwd=tmp_path)
    assert ended.code == 2
    assert len(ended.out.splitlines()) == 1
    error = ended.json["error"]
    assert error["type"] == "ConfigError"
    assert expected in error["message"] + (error["hint"] or "")
    assert "Traceback" not in ended.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_told_with_file_key_and_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    # In this process: the same code without the second it takes to start.
    from tenire.cli import main

    content, expected = MISTAKES[name]
    (tmp_path / "docs").mkdir()
    file = tmp_path / "tenire.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TENIRE_HOME", raising=False)
    for words in (["run", "--json"], ["--json", "run", str(file)]):
        assert main(words) == 2
        captured = capsys.readouterr()
        (line,) = captured.out.splitlines()
        error = json.loads(line)["error"]
        assert error["type"] == "ConfigError"
        assert expected in error["message"] + (error["hint"] or ""), error
        assert "tenire.toml" in error["message"] or name == "missing source", error
        assert "Traceback" not in captured.err
    assert main(["run"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [["ingest"], ["search"], ["serch", "x"], ["ingest", ".", "--embeder", "static"], ["search", "x", "-k", "many"], []],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_refused_in_json_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    from tenire.cli import main

    monkeypatch.chdir(tmp_path)
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["type"] == "ConfigError"
    assert list(tmp_path.iterdir()) == []


def test_one_line_of_a_hundred_megabytes_is_refused_by_itself_and_never_held(tenire: Tenire, tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    line = b"words without an end " * 5_000_000
    (folder / "a.txt").write_bytes(line)
    (folder / "b.jsonl").write_bytes(b'{"id": "before"}\n{"text": "' + line + b'"}\n{"id": "after"}\n')
    (folder / "c.csv").write_bytes(b'name,text\nbefore,x\nlong,"' + line + b'"\nafter,x\n')
    ended = tenire.ingest(folder)
    assert (ended.code, ended.totals["quarantined"]) == (3, 3)
    entries = {os.path.relpath(each["source"], folder): each["error"] for each in tenire("failed").json["failed"]}
    assert entries.keys() == {"a.txt", "b.jsonl!/2.jsonl", "c.csv!/2.csv"}
    assert "larger than max_file" in entries["a.txt"]
    assert "its line 2 is longer than max_file" in entries["b.jsonl!/2.jsonl"]
    assert "its line 3 is longer than max_file" in entries["c.csv!/2.csv"]
    found = {(hit["source"], *hit["lines"]) for hit in tenire("search", "after", "--mode", "text").json["hits"]}
    assert found == {(f"{folder}/b.jsonl!/3.jsonl", 3, 3), (f"{folder}/c.csv!/3.csv", 4, 4)}
    assert ended.json["peak_rss_mib"] < 1500
    assert tenire.verify()["ok"]


def broken_documents(folder: Path) -> dict[str, str]:
    """Fill a folder with documents that are broken, and a few that are not; return what is to be said of each."""
    folder.mkdir()
    (folder / "good.pdf").write_bytes(samples.pdf("The valve opens at nine bars."))
    (folder / "good.zip").write_bytes(
        samples.archive({"a.txt": "elephants remember", "b/c.docx": samples.docx("whales sing")})
    )
    (folder / "empty.docx").touch()
    (folder / "deep.html").write_text("<div>" * 10_000 + "at the bottom")
    (folder / "mixed.txt").write_bytes("caf\xe9 ".encode() * 50 + b"caf\xe9\n")
    bad: dict[str, tuple[bytes, str]] = {
        "cut.pdf": (samples.pdf("words")[:400], "cut off before its end"),
        "locked.pdf": (samples.pdf("words", password="x"), "this one is encrypted"),
        "damaged.docx": (samples.docx()[:700], "expected a Word document"),
        "bomb.gz": (gzip.compress(bytes(40 << 20)), "more than 200 times"),
        "bomb.zip": (samples.archive({f"{n}.txt": bytes(20 << 20) for n in range(3)}), "more than 200 times"),
        "cut.zip": (samples.archive({"a.txt": "x" * 500})[:-30], "expected a ZIP archive"),
        "nul.txt": (b"words\0words", "NUL byte"),
        "noise.csv": (b"\x07\x00\x01\xff" * 500, "looks binary"),
        "rows.parquet": (b"PAR1\x15\x04rubbish", "expected a Parquet file"),
        "book.epub": (samples.epub(a="x")[:-100], "expected an EPUB"),
    }
    for name, (data, _) in bad.items():
        (folder / name).write_bytes(data)
    (folder / "partly.zip").write_bytes(
        samples.archive({"good.txt": "turtles swim", "bad.pdf": samples.pdf("x")[:300]})
    )
    members = {"partly.zip!/bad.pdf": "cut off before its end", "bomb.zip!/0.txt": "NUL byte"}
    return {name: reason for name, (_, reason) in bad.items()} | members


def test_a_directory_of_broken_documents_is_read_as_far_as_it_goes(tenire: Tenire, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    expected = broken_documents(folder)
    ended = tenire.ingest(folder)
    assert (ended.code, ended.totals["done"], ended.totals["quarantined"]) == (3, 5, 11)
    entries = {os.path.relpath(each["source"], folder): each["error"] for each in tenire("failed").json["failed"]}
    assert entries.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in entries[name], name
    for words, place in (("whales", "good.zip!/b/c.docx"), ("turtles", "partly.zip!/good.txt"), ("valve", "good.pdf")):
        assert tenire("search", words, "--mode", "text").json["hits"][0]["source"] == str(folder / place)
    again = tenire.ingest(folder)
    assert (again.code, again.totals["unchanged"], again.totals["quarantined"]) == (3, 5, 11)
    assert tenire.verify()["ok"]
    # Mended, they are found; gone, they leave with all that was in them.
    (folder / "partly.zip").write_bytes(samples.archive({"good.txt": "turtles swim", "bad.pdf": samples.pdf("mended")}))
    (folder / "good.zip").unlink()
    mended = tenire.ingest(folder)
    assert (mended.totals["done"], mended.totals["removed"]) == (1, 1)
    assert tenire("search", "mended", "--mode", "text").json["hits"]
    assert not tenire("search", "whales", "--mode", "text").json["hits"]
    report = tenire.verify()
    assert (report["ok"], report["documents"]) == (True, 6)
