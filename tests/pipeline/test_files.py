"""The file source: what is seen, skipped, refused, and that each file comes once."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenire.errors import ConfigError
from tenire.pipeline.files import FileSource, Skipped
from tenire.protocols import Rejection, SourceFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file types")
unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)


def put(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def seen(source: FileSource) -> list[str]:
    return [item.path for item in source.walk() if isinstance(item, SourceFile)]


def names(source: FileSource, base: Path) -> list[str]:
    return [Path(path).relative_to(base).as_posix() for path in seen(source)]


def rejections(source: FileSource) -> dict[str, str]:
    return {Path(item.file.path).name: item.error for item in source.walk() if isinstance(item, Rejection)}


def test_a_directory_is_walked_in_sorted_order_with_absolute_paths_sizes_and_times(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/c.md", "c.rst"):
        put(tmp_path / name, "hello")
    items = list(FileSource(["."], tmp_path).walk())
    assert [Path(item.path).relative_to(tmp_path).as_posix() for item in items if isinstance(item, SourceFile)] == [
        "a/c.md",
        "a/z.md",
        "b.txt",
        "c.rst",
    ]
    first = items[0]
    assert isinstance(first, SourceFile)
    assert os.path.isabs(first.path)
    assert (first.size, first.mtime_ns) == (5, os.stat(first.path).st_mtime_ns)


def test_the_walk_opens_a_directory_only_when_it_gets_there(tmp_path: Path) -> None:
    put(tmp_path / "a.txt")
    put(tmp_path / "b" / "old.txt")
    walk = FileSource([str(tmp_path)]).walk()
    next(walk)
    put(tmp_path / "b" / "new.txt")
    assert [Path(item.path).name for item in walk if isinstance(item, SourceFile)] == ["new.txt", "old.txt"]


def test_hidden_files_and_directories_are_not_seen_but_a_named_root_may_be_hidden(tmp_path: Path) -> None:
    put(tmp_path / ".hidden.txt")
    put(tmp_path / ".git" / "config")
    put(tmp_path / "shown.txt")
    assert names(FileSource([str(tmp_path)]), tmp_path) == ["shown.txt"]
    assert names(FileSource([str(tmp_path / ".git")]), tmp_path) == [".git/config"]
    assert names(FileSource([str(tmp_path / ".hidden.txt")]), tmp_path) == [".hidden.txt"]


def test_types_without_text_are_skipped_and_everything_else_is_seen(tmp_path: Path) -> None:
    for name in ("p.png", "P.JPG", "s.mp3", "v.mkv", "prog.exe", "libz.so.1.2", "m.pyc", "f.woff2"):
        put(tmp_path / name)
    for name in ("doc.pdf", "book.epub", "a.zip", "data.bin", "noext", "types.ts", "x.unknown", "t.txt.gz"):
        put(tmp_path / name)
    items = list(FileSource([str(tmp_path)]).walk())
    assert sorted(Path(item.path).name for item in items if isinstance(item, Skipped)) == [
        "P.JPG",
        "f.woff2",
        "libz.so.1.2",
        "m.pyc",
        "p.png",
        "prog.exe",
        "s.mp3",
        "v.mkv",
    ]
    assert len(seen(FileSource([str(tmp_path)]))) == 8


@posix
def test_pipes_sockets_devices_dangling_links_and_loops_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/null")
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to about 100 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = rejections(FileSource(["."], tmp_path))
    assert set(found) == {"pipe", "socket", "device", "dangling.txt", "loop"}
    assert "named pipe" in found["pipe"]
    assert "socket" in found["socket"]
    assert "character device" in found["device"]
    assert "nowhere" in found["dangling.txt"]
    assert "itself" in found["loop"]
    assert seen(FileSource(["."], tmp_path)) == []


@posix
def test_links_to_files_are_read_and_links_to_directories_are_not_counted(tmp_path: Path) -> None:
    put(tmp_path / "tree" / "real.txt", "12345")
    (tmp_path / "tree" / "link.txt").symlink_to("real.txt")
    (tmp_path / "tree" / "round").symlink_to("..")
    (tmp_path / "tree" / "self").symlink_to(".")
    items = list(FileSource(["tree"], tmp_path).walk())
    assert [(Path(item.path).name, item.size) for item in items if isinstance(item, SourceFile)] == [
        ("link.txt", 5),
        ("real.txt", 5),
    ]
    assert len(items) == 2


@posix
def test_a_named_link_to_a_directory_is_walked_under_its_own_name(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.txt")
    (tmp_path / "link").symlink_to("real")
    assert names(FileSource(["link"], tmp_path), tmp_path) == ["link/a.txt"]
    assert names(FileSource(["real", "link", "link/a.txt"], tmp_path), tmp_path) == ["real/a.txt"]


@posix
def test_a_named_dangling_link_is_refused_and_not_a_mistake_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    source = FileSource(["gone"], tmp_path)
    source.check()
    assert list(rejections(source)) == ["gone"]


@posix
@unprivileged
def test_an_unreadable_directory_below_is_one_refusal(tmp_path: Path) -> None:
    put(tmp_path / "closed" / "a.txt")
    put(tmp_path / "open.txt")
    (tmp_path / "closed").chmod(0)
    try:
        source = FileSource([str(tmp_path)])
        assert "ermission" in rejections(source)["closed"]
        assert names(source, tmp_path) == ["open.txt"]
        with pytest.raises(ConfigError, match="closed"):
            FileSource([str(tmp_path / "closed")]).check()
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_directory_that_cannot_be_read_is_one_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "closed" / "a.txt")
    put(tmp_path / "open.txt")
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    source = FileSource([str(tmp_path)])
    assert rejections(source) == {"closed": "the directory cannot be read: Permission denied"}
    assert names(source, tmp_path) == ["open.txt"]


def test_a_named_path_that_may_not_be_read_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "d" / "a.txt")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"directory .*d may not be read"):
        FileSource(["d"], tmp_path).check()
    with pytest.raises(ConfigError, match=r"file .*a\.txt may not be read"):
        FileSource(["d/a.txt"], tmp_path).check()


@pytest.mark.parametrize("path", ["missing", "missing.txt", "d/a.txt/below", "nowhere/*.md", "d/a.txt/*", "", "a\0b"])
def test_a_missing_path_is_refused_by_name(tmp_path: Path, path: str) -> None:
    put(tmp_path / "d" / "a.txt")
    source = FileSource(["d", path], tmp_path)
    with pytest.raises(ConfigError) as caught:
        source.check()
    assert caught.value.key == path
    with pytest.raises(ConfigError):
        list(source.walk())


def test_a_glob_finds_by_pattern_and_may_find_nothing(tmp_path: Path) -> None:
    for name in ("n/a.md", "n/deep/er/b.md", "n/c.txt", "n/.h/d.md", "n/.e.md", "other/f.md"):
        put(tmp_path / name)
    assert names(FileSource(["n/**/*.md"], tmp_path), tmp_path) == ["n/a.md", "n/deep/er/b.md"]
    assert names(FileSource(["n/*.md"], tmp_path), tmp_path) == ["n/a.md"]
    assert names(FileSource(["*/[af].md"], tmp_path), tmp_path) == ["n/a.md", "other/f.md"]
    assert names(FileSource(["n/.*/*.md"], tmp_path), tmp_path) == ["n/.h/d.md"]
    nothing = FileSource(["n/**/*.nope"], tmp_path)
    nothing.check()
    assert list(nothing.walk()) == []


def test_a_directory_that_a_glob_matches_is_walked(tmp_path: Path) -> None:
    for name in ("p/one/docs/a.txt", "p/one/docs/sub/b.txt", "p/one/src/c.txt", "p/two/docs/.h.txt"):
        put(tmp_path / name)
    assert names(FileSource(["p/*/docs"], tmp_path), tmp_path) == ["p/one/docs/a.txt", "p/one/docs/sub/b.txt"]


def test_a_path_that_exists_is_literal_even_with_wildcards_in_it(tmp_path: Path) -> None:
    put(tmp_path / "notes[1].md")
    put(tmp_path / "notes1.md")
    assert names(FileSource(["notes[1].md"], tmp_path), tmp_path) == ["notes[1].md"]


def test_overlapping_paths_list_each_file_once(tmp_path: Path) -> None:
    for name in ("d/a.md", "d/sub/b.md", "d/.hid/c.md", "e/x.md"):
        put(tmp_path / name)
    paths = ["d/sub/b.md", "d/**/*.md", "d/sub", "d", "./d/", "d/.hid", "d/.hid/c.md", "*/*.md", "e/x.md", "e/x.md"]
    assert sorted(names(FileSource(paths, tmp_path), tmp_path)) == ["d/.hid/c.md", "d/a.md", "d/sub/b.md", "e/x.md"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(
    [".", "d", "d/s", "d/.h", "d/s/b.md", "d/.h/c.md", "**/*.md", "d/*", "d/**", "d/.*/*", "*/s", "e", "e/*.txt"]
), min_size=1, max_size=6))  # fmt: skip
def test_any_mix_of_paths_lists_exactly_the_union_once(tmp_path: Path, paths: list[str]) -> None:
    for name in ("d/a.md", "d/s/b.md", "d/.h/c.md", "e/x.txt", "e/y.md"):
        put(tmp_path / name)
    together = seen(FileSource(paths, tmp_path))
    assert len(together) == len(set(together))
    assert set(together) == {found for path in paths for found in seen(FileSource([path], tmp_path))}


def test_excluded_directories_are_never_entered(tmp_path: Path) -> None:
    for name in ("a.txt", "home/ledger.txt", "d/home/b.txt"):
        put(tmp_path / name)
    source = FileSource([".", "home", "home/ledger.txt", "**/*.txt"], tmp_path, exclude=[tmp_path / "home"])
    assert names(source, tmp_path) == ["a.txt", "d/home/b.txt"]


def test_a_file_that_vanishes_between_listing_and_look_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.txt")
    put(tmp_path / "b.txt")
    walk = FileSource([str(tmp_path)]).walk()
    assert isinstance(next(walk), SourceFile)
    (tmp_path / "b.txt").unlink()
    (item,) = walk
    assert isinstance(item, Rejection)
    assert (item.stage, item.error) == ("read", "the file vanished after it was listed")


@posix
@pytest.mark.parametrize("raw", [b"new\nline.txt", b"caf\xe9.txt", b"\xff\xfe.txt", b"tab\t.txt", b" .txt"])
def test_names_of_any_bytes_survive(tmp_path: Path, raw: bytes) -> None:
    target = os.path.join(os.fsencode(tmp_path), raw)
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_WRONLY)
    except OSError:
        pytest.skip("this file system takes text names only")
    os.close(descriptor)
    (path,) = seen(FileSource([str(tmp_path)]))
    assert os.fsencode(path) == target
    assert json.loads(json.dumps(path)) == path


def test_a_tree_deeper_than_the_recursion_limit_is_walked(tmp_path: Path) -> None:
    depth = 400 if sys.platform != "win32" else 20
    place = tmp_path.joinpath(*["d"] * depth)
    place.mkdir(parents=True)
    put(place / "a.txt")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        found = seen(FileSource([str(tmp_path)]))
    finally:
        sys.setrecursionlimit(limit)
    assert len(found) == 1


def test_a_home_prefix_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(tmp_path / "docs" / "a.txt")
    assert names(FileSource(["~/docs"]), tmp_path) == ["docs/a.txt"]


def test_a_source_knows_its_directories_and_what_concerns_it(tmp_path: Path) -> None:
    for name in ("docs/a.txt", "docs/home/h.txt", "notes/n.md", "single/one.txt", "docs/deep/x.txt"):
        put(tmp_path / name)
    words = ["docs", "notes/**/*.md", "single/one.txt", "docs/a.txt", "notes/n*/.keep/*"]
    source = FileSource(words, tmp_path, exclude=[tmp_path / "docs/home"])
    roots = source.roots()
    assert set(roots.deep) == {str(tmp_path / "docs"), str(tmp_path / "notes")}
    assert roots.flat == (str(tmp_path / "single"),)
    concerned = {
        "docs/a.txt": True, "docs/new/b.txt": True, "docs": False, "docs/.git/index": False, "docs/home": False,
        "docs/home/ledger.db": False, "docs-2/a.txt": False, "notes": False, "notes/x.md": True, "notes/deep": True,
        "notes/deep/y.md": True, "notes/x.txt": True, "notes/.git/x.md": False, "notes/new/.keep/x": True,
        "single/one.txt": True, "single/two.txt": False, "elsewhere/a.txt": False,
    }  # fmt: skip
    found = {name: source.concerns(str(tmp_path / name)) for name in concerned}
    assert found == concerned
    # Whatever a walk lists concerns it.
    assert all(source.concerns(path) for path in seen(source))
