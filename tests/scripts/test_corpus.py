from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def corpus(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("corpus")


@pytest.fixture
def installation(corpus: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python installation with little in it, on a machine without Debian's tools."""
    library = tmp_path / "lib"
    for name in ("csv.py", "json/decoder.py", "test/test_csv.py", "site-packages/pkg/README.md", "LICENSE.txt"):
        file = library / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n", encoding="utf-8")
    paths = {"stdlib": library, "purelib": library / "site-packages"}
    monkeypatch.setattr(corpus.sysconfig, "get_path", lambda name: str(paths[name]))
    monkeypatch.setattr(corpus.shutil, "which", lambda name: None)
    return library


def test_without_debian_the_installation_is_taken_and_said_so(
    corpus: ModuleType, installation: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    made = corpus.prepare(tmp_path / "demo" / "corpus", None, said.append)
    assert made.kind == "installation"
    assert str(installation) in made.origin
    assert [part.files for part in made.parts] == [3, 1], "tests and packages are no part of the library"
    assert said
    assert (tmp_path / "demo" / "corpus" / "licences" / "python.txt").exists()


def test_a_second_call_only_reads_the_list(corpus: ModuleType, installation: Path, tmp_path: Path) -> None:
    cache = tmp_path / "demo" / "corpus"
    first = corpus.prepare(cache, None, lambda line: None)
    (installation / "new.py").write_text("x = 1\n", encoding="utf-8")
    assert corpus.prepare(cache, None, pytest.fail) == first


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize("list_", ["", "{", '{"version": -1}'])
def test_a_cache_that_is_not_whole_is_made_again(corpus: ModuleType, tmp_path: Path, list_: str) -> None:
    cache = tmp_path / "demo" / "corpus"
    cache.mkdir(parents=True)
    (cache / "manifest.json").write_text(list_, encoding="utf-8")
    (cache / "half").touch()
    assert corpus.prepare(cache, None, lambda line: None).kind == "installation"
    assert not (cache / "half").exists()
    assert list(cache.parent.iterdir()) == [cache], "nothing else is left behind"


def test_your_own_folder_is_cut_in_two_halves(corpus: ModuleType, tmp_path: Path) -> None:
    for name, size in (("a/1.md", 100), ("a/2.md", 100), ("b/3.md", 150), ("c.md", 60), (".git/config", 999)):
        file = tmp_path / "mine" / "top" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    first, second = corpus.prepare(tmp_path / "cache", str(tmp_path / "mine"), pytest.fail).parts
    top = tmp_path / "mine" / "top"
    assert first.sources == (str(top / "a"),)
    assert second.sources == (str(top / "b"), str(top / "c.md"))
    assert (first.files, first.size, second.files, second.size) == (2, 200, 2, 210)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("files", [[], ["only.md"], ["deep/only.md"]])
def test_fewer_than_two_files_are_refused(corpus: ModuleType, tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(corpus.CorpusError, match="fewer than two files"):
        corpus.prepare(tmp_path / "cache", str(tmp_path), pytest.fail)


def test_a_folder_that_is_not_there_is_refused(corpus: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusError, match="is not a folder"):
        corpus.prepare(tmp_path / "cache", str(tmp_path / "none"), pytest.fail)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_copied_by_content_and_dangling_ones_left_out(corpus: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "real.md").write_text("text", encoding="utf-8")
    (source / "link.md").symlink_to("real.md")
    (source / "dangling.md").symlink_to("none.md")
    (source / "loop").symlink_to(".")
    files = [(file, file.name) for file in corpus.files_below(source)]
    assert corpus.copy_within(files, tmp_path / "target", budget=1_000) == 2
    copied = tmp_path / "target" / "link.md"
    assert copied.read_text(encoding="utf-8") == "text"
    assert not copied.is_symlink()


def test_copying_stops_at_the_budget_but_not_before_the_least_number(corpus: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "abcd":
        (source / name).write_bytes(b"x" * 10)
    files = [(file, file.name) for file in corpus.files_below(source)]
    assert corpus.copy_within(files, tmp_path / "one", budget=25) == 2
    assert corpus.copy_within(files, tmp_path / "two", budget=25, at_least=3) == 3
