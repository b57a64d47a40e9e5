"""Archives, mailboxes and compressed files, good and bad: what comes of their members."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from tenire.documents.looking import look
from tenire.documents.options import PrepareOptions
from tenire.documents.prepare import prepare
from tenire.documents.unpacking import unpack
from tenire.protocols import Document, Rejection, SourceFile, Unchanged, Unpacked

from . import samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OPTIONS = PrepareOptions()


def put(path: Path, data: bytes) -> SourceFile:
    path.write_bytes(data)
    found = path.stat()
    return SourceFile(str(path), found.st_size, found.st_mtime_ns)


def one(file: SourceFile, options: PrepareOptions = OPTIONS) -> Document | Rejection | Unchanged | Unpacked:
    (result,) = prepare([file], options)
    return result


def whole(file: SourceFile, options: PrepareOptions = OPTIONS, most: int = 512) -> Unpacked:
    """Read a container to its end, a slice at a time."""
    first = one(file, options)
    assert isinstance(first, Unpacked), first
    members, part = list(first.members), first
    while part.following is not None:
        assert isinstance(part.container, Document)
        part = unpack(part.container.file, part.container.content_hash, part.following, options, most, part.expanded)
        members += part.members
    return Unpacked(part.container, tuple(members))


def told(unpacked: Unpacked, file: SourceFile) -> dict[str, str]:
    """What each member came to: its text, or why it was refused."""
    found = {}
    for member in unpacked.members:
        assert member.file.path.startswith(f"{file.path}!/")
        assert (member.file.container, member.file.mtime_ns) == (file.path, file.mtime_ns)
        text = member.error if isinstance(member, Rejection) else "|".join(each.text for each in member.passages)
        found[member.file.path.removeprefix(f"{file.path}!/")] = text
    return found


def tarred(files: Mapping[str, bytes | None]) -> bytes:
    """A tar archive; ``None`` is a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "a.txt"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILES: dict[str, str | bytes] = {
    "a.txt": "first words",
    "b/page.html": "<p>second words",
    "b/.hidden/c.txt": "x",
    ".d.txt": "x",
    "e.png": "x",
    "f.csv": "n,v\nx,1\n",
}
READ = {"a.txt": "first words", "b/page.html": "second words", "f.csv": "n: x\nv: 1"}
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


def test_the_files_of_an_archive_are_documents_of_their_own(tmp_path: Path) -> None:
    file = put(tmp_path / "a.zip", samples.archive(FILES))
    found = whole(file)
    assert told(found, file) == READ
    assert isinstance(found.container, Document)
    assert (found.container.file, found.container.passages, found.container.about.kind) == (file, (), "zip")
    # A member and a file of its own are copies of one another.
    alone = one(put(tmp_path / "a.txt", b"first words"))
    assert isinstance(alone, Document)
    assert isinstance(found.members[0], Document)
    assert found.members[0].id == alone.id


@pytest.mark.parametrize("packer", [None, *PACKERS])
@pytest.mark.parametrize("name", ["a.tar", "noname"])
def test_a_tar_archive_is_read_whatever_it_is_compressed_with(tmp_path: Path, packer: str | None, name: str) -> None:
    data = tarred(
        {name: text if isinstance(text, bytes) else text.encode() for name, text in FILES.items()} | {"l": None}
    )
    if packer is not None:
        data = PACKERS[packer](data)
        name = f"{name}.{packer}"
    file = put(tmp_path / name, data)
    assert told(whole(file), file) == READ


@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_file_is_one_document_under_its_own_name(tmp_path: Path, packer: str) -> None:
    data = PACKERS[packer](b"# Title\n\nwords") + PACKERS[packer](b" and more")
    found = one(put(tmp_path / f"a.md.{packer}", data))
    assert isinstance(found, Document)
    assert (found.title, found.passages[-1].text) == ("Title", "# Title\n\nwords and more")
    assert found.file.container == ""


@pytest.mark.usefixtures("parser")
def test_a_compressed_document_of_any_format_is_read(tmp_path: Path) -> None:
    found = one(put(tmp_path / "a.pdf.gz", gzip.compress(samples.pdf("words"))))
    assert isinstance(found, Document)
    assert (found.about.kind, found.passages[0].text) == ("pdf", "words")
    found = one(put(tmp_path / "a.docx.zst", zstandard.compress(samples.docx("words"))))
    assert isinstance(found, Document)
    assert found.about.kind == "docx"


def test_the_messages_of_a_mailbox_are_documents_of_their_own(tmp_path: Path) -> None:
    first = samples.message("One", "words\n\n>From the start\n\nFrom here on, all is prose.")
    file = put(tmp_path / "in.mbox", samples.mailbox(first, samples.message("Two")))
    found = whole(file)
    texts = told(found, file)
    assert list(texts) == ["1.eml", "2.eml"]
    assert "From the start" in texts["1.eml"]
    assert ">From" not in texts["1.eml"]
    assert "all is prose" in texts["1.eml"]
    assert [member.title for member in found.members if isinstance(member, Document)] == ["One", "Two"]


def test_containers_in_containers_are_opened_too(tmp_path: Path) -> None:
    inner = samples.archive({"c.txt": "deep words"})
    file = put(
        tmp_path / "a.zip",
        samples.archive(
            {
                "b.tar": tarred({"c.zip": inner, "x.txt.gz": gzip.compress(b"packed")}),
                "t.tgz": gzip.compress(tarred({"y.txt": b"why"})),
                "m.mbox": samples.mailbox(samples.message("One", "hello")),
            }
        ),
    )
    found = told(whole(file), file)
    assert found.pop("m.mbox!/1.eml").endswith("hello")
    assert found == {"b.tar!/c.zip!/c.txt": "deep words", "b.tar!/x.txt.gz": "packed", "t.tgz!/y.txt": "why"}


def test_a_container_is_read_a_slice_at_a_time_and_nothing_is_lost_between_them(tmp_path: Path) -> None:
    files = {f"{number:03}.txt": f"words {number}" for number in range(40)}
    nested: dict[str, str | bytes] = {**files, "n.zip": samples.archive({"x.txt": "x", "y.txt": "y"}), "z.txt": "z"}
    everything = {**files, "n.zip!/x.txt": "x", "n.zip!/y.txt": "y", "z.txt": "z"}
    for name, data in (
        ("a.zip", samples.archive(nested)),
        ("a.tgz", gzip.compress(tarred({k: v if isinstance(v, bytes) else v.encode() for k, v in nested.items()}))),
    ):
        file = put(tmp_path / name, data)
        listed = look(file, None, OPTIONS)
        assert listed.unpacked is not None
        assert isinstance(listed.unpacked.container, Document)
        for most in (1, 7, 100):
            members: list[Document | Rejection] = []
            following: int | None = listed.unpacked.following
            while following is not None:
                part = unpack(listed.file, listed.unpacked.container.content_hash, following, OPTIONS, most)
                assert len(part.members) <= most
                members += part.members
                following = part.following
            assert told(Unpacked(part.container, tuple(members)), file) == everything
            assert part.container == one_container(file)


def one_container(file: SourceFile) -> Document | Rejection:
    found = one(file)
    assert isinstance(found, Unpacked)
    return found.container


def test_a_container_may_be_larger_than_a_file_but_its_members_may_not(tmp_path: Path) -> None:
    small = PrepareOptions(max_file=2000)
    parts: dict[str, str | bytes] = {
        "a.txt": os.urandom(900).hex(),
        "b.txt": os.urandom(900).hex(),
        "c.txt": "x" * 3000,
    }
    file = put(tmp_path / "a.zip", samples.archive(parts, deflated=False))
    assert file.size > 2000
    found = told(whole(file, small), file)
    assert len(found["a.txt"]) >= 1800
    assert "larger than max_file" in found["c.txt"]
    (again,) = prepare([file], small, {file.path: one_container(file).content_hash})
    assert isinstance(again, Unchanged)
    # What is no container is refused as ever.
    plain = one(put(tmp_path / "a.txt", b"x" * 3000), small)
    assert isinstance(plain, Rejection)
    assert "larger than max_file" in plain.error


def test_a_bad_member_is_refused_alone(tmp_path: Path) -> None:
    file = put(
        tmp_path / "a.zip",
        samples.archive({"a.txt": "good", "b.pdf": bytes(50), "c.zip": b"PK\x03\x04broken", "d.txt": "good too"}),
    )
    found = whole(file)
    texts = told(found, file)
    assert isinstance(found.container, Document)
    assert (texts["a.txt"], texts["d.txt"]) == ("good", "good too")
    assert "expected PDF by its name" in texts["b.pdf"]
    assert "expected a ZIP archive" in texts["c.zip"]


def test_members_that_are_encrypted_or_damaged_say_so(tmp_path: Path) -> None:
    data = bytearray(samples.archive({"a.txt": "one " * 50, "b.txt": "two " * 50, "c.txt": "three"}))
    first = data.index(b"PK\x01\x02")
    data[first + 8] |= 1
    second = data.index(b"b.txt") + 8
    data[second] ^= 0xFF
    file = put(tmp_path / "a.zip", bytes(data))
    found = told(whole(file), file)
    assert "without a password was expected, this one is encrypted" in found["a.txt"]
    assert "cannot be unpacked" in found["b.txt"]
    assert found["c.txt"] == "three"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst", "a.tar.bz2"])
def test_what_comes_before_the_end_of_an_archive_that_was_cut_off_is_kept(tmp_path: Path, name: str) -> None:
    data = tarred({"a.txt": b"good", "b.txt": os.urandom(200_000).hex().encode()})
    packer = PACKERS.get(name.rpartition(".")[2], bytes)
    file = put(tmp_path / name, packer(data)[: -len(packer(data)) // 4])
    if name.endswith("bz2"):  # one block of it is a megabyte, so nothing comes before its end
        refused = one(file)
    else:
        found = whole(file)
        refused = found.container
        assert told(found, file)["a.txt"] == "good"
    assert isinstance(refused, Rejection)
    assert refused.stage == "unpack"
    assert "damaged or cut off" in refused.error


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    found = one(put(tmp_path / "a.zip", samples.archive({"a.txt": "x" * 100})[:-30]))
    assert isinstance(found, Unpacked)
    assert isinstance(found.container, Rejection)
    assert "expected a ZIP archive" in found.container.error
    found = one(put(tmp_path / "a.txt.gz", gzip.compress(b"words" * 100)[:-12]))
    assert isinstance(found, Rejection)
    assert "expected gzip data" in found.error


@pytest.mark.parametrize(
    "names",
    [
        ["../../etc/passwd", "/etc/passwd", "./a/../b.txt", "a//b.txt"],
        ["a\nb.txt", "c\td.txt", "\u202ename.txt"],
        ["same.txt", "same.txt"],
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path, names: list[str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, f"words {number}")
    file = put(tmp_path / "a.zip", out.getvalue())
    found = told(whole(file), file)
    assert sorted(found.values()) == [f"words {number}" for number in range(len(names))]
    for name in found:
        assert ".." not in name.split("/")
        assert not name.startswith("/")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.zip"]


def test_names_that_are_no_text_are_read(tmp_path: Path) -> None:
    data = samples.archive({"caf\xe9-\xe9.txt": "words", "ok.txt": "more"})
    data = data.replace("caf\xe9-\xe9".encode(), b"caf\xff\xfe-\xc3\xa9")
    file = put(tmp_path / "a.zip", data)
    found = told(whole(file), file)
    assert sorted(found.values()) == ["more", "words"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("caf\udce9.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"words"))
    file = put(tmp_path / "a.tar", out.getvalue())
    (member,) = whole(file).members
    assert os.fsencode(member.file.path).endswith(b"!/caf\xe9.txt")


# -- bombs ------------------------------------------------------------------------


def test_a_file_that_expands_without_end_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(40 << 20), 9)
    assert len(bomb) < 50_000
    found = one(put(tmp_path / "a.txt.gz", bomb))
    assert isinstance(found, Rejection)
    assert (found.stage, "more than 200 times" in found.error) == ("unpack", True)


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_an_archive_that_expands_without_end_is_stopped_and_what_was_good_stays(tmp_path: Path, name: str) -> None:
    options = PrepareOptions(max_expanded=3 << 20)
    parts: dict[str, bytes] = {"good.txt": b"words", **{f"{n}.txt": b"a" * (1 << 20) for n in range(5)}}
    data = samples.archive(dict(parts)) if name == "a.zip" else gzip.compress(tarred(parts))
    file = put(tmp_path / name, data)
    found = whole(file, options)
    assert isinstance(found.container, Rejection)
    assert "more than max_expanded (3.0 MiB)" in found.container.error
    assert told(found, file)["good.txt"] == "words"


def test_what_comes_out_counts_over_all_slices_and_once(tmp_path: Path) -> None:
    parts: dict[str, str | bytes] = {f"{n}.txt": os.urandom(40_000).hex() for n in range(10)}
    options = PrepareOptions(max_expanded=500_000)
    raw = {name: text.encode() for name, text in parts.items() if isinstance(text, str)}
    for name, data in (("a.zip", samples.archive(parts)), ("a.tgz", gzip.compress(tarred(raw)))):
        for most, enough in ((1, True), (3, True), (1, False), (3, False), (20, False)):
            file = put(tmp_path / name, data)
            limit = PrepareOptions(max_expanded=1 << 20) if enough else options
            part = Unpacked(one_container(file), (), 0)
            count = 0
            while part.following is not None:
                assert isinstance(part.container, Document)
                part = unpack(file, part.container.content_hash, part.following, limit, most, part.expanded)
                count += len(part.members)
            assert isinstance(part.container, Document if enough else Rejection)
            assert count == 10 if enough else 2 <= count <= 7  # a stream is read a little ahead


def test_bombs_in_archives_in_archives_count_together(tmp_path: Path) -> None:
    options = PrepareOptions(max_expanded=4 << 20)
    layer = samples.archive({f"{n}.txt": "a" * (1 << 20) for n in range(3)})
    for _ in range(3):
        layer = samples.archive({"1.zip": layer, "2.zip": layer})
    found = whole(put(tmp_path / "a.zip", layer), options)
    assert isinstance(found.container, Rejection)
    assert "max_expanded" in found.container.error
    assert len(found.members) <= 4


def test_nesting_ends_somewhere(tmp_path: Path) -> None:
    data: bytes = samples.archive({"a.txt": "words"})
    for _ in range(8):
        data = samples.archive({"b.zip": data}, deflated=False)
    file = put(tmp_path / "a.zip", data)
    (text,) = told(whole(file), file).values()
    assert "nested more than 5 levels deep" in text
    packed = b"words"
    for _ in range(6):
        packed = gzip.compress(packed)
    found = one(put(tmp_path / "a.txt.gz", packed))
    assert isinstance(found, Rejection)
    assert "compressed more than 4 times" in found.error


def test_a_directory_that_claims_a_million_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = bytearray(samples.archive({"a.txt": "words"}))
    end = data.rindex(b"PK\x05\x06")
    data[end : end + 4] = b"PK\x05\x06"
    struct.pack_into("<I", data, end + 12, 0x7FFFFFFF)
    found = one(put(tmp_path / "a.zip", bytes(data)))
    assert isinstance(found, Unpacked)
    assert isinstance(found.container, Rejection)
    assert "more than 100000 members" in found.container.error


def test_a_member_that_claims_to_be_small_is_counted_as_it_comes(tmp_path: Path) -> None:
    data = bytearray(samples.archive({"a.txt": "a" * 100_000}))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(mark) + place, 10)
    file = put(tmp_path / "a.zip", bytes(data))
    (text,) = told(whole(file), file).values()
    assert "cannot be unpacked" in text or len(text) <= 10


def test_a_file_that_changes_between_two_slices_is_read_again_by_the_next_run(tmp_path: Path) -> None:
    file = put(tmp_path / "a.zip", samples.archive({"a.txt": "one", "b.txt": "two"}))
    found = look(file, None, OPTIONS).unpacked
    assert found is not None
    put(tmp_path / "a.zip", samples.archive({"a.txt": "three and more"}))
    part = unpack(file, "hash", 1, OPTIONS)
    assert isinstance(part.container, Rejection)
    assert "changed while it was read" in part.container.error
    (tmp_path / "a.zip").unlink()
    part = unpack(file, "hash", 1, OPTIONS)
    assert isinstance(part.container, Rejection)
    assert "vanished" in part.container.error


@pytest.mark.usefixtures("parser")
def test_a_look_names_the_reader_of_a_file_or_a_member(tmp_path: Path) -> None:
    file = put(tmp_path / "a.zip", samples.archive({"a.txt": "one", "b.pdf": samples.pdf("x"), "c.html": "x"}))
    assert look(file, None, OPTIONS).reader == "zip"
    found = look(file, 1, OPTIONS)
    assert (found.reader, found.file.path, found.file.container) == ("pdf", f"{file.path}!/b.pdf", file.path)
    assert look(file, 2, OPTIONS).reader == "html"
    assert look(file, 9, OPTIONS) == look(file, 9, OPTIONS)
    assert look(put(tmp_path / "b.md.gz", gzip.compress(b"x")), None, OPTIONS).reader == "markdown"
    assert look(SourceFile(str(tmp_path / "gone"), 1, 1), None, OPTIONS).reader == "file"


@pytest.mark.usefixtures("parser")
def test_whatever_is_broken_in_a_file_comes_back_as_a_reason(tmp_path: Path) -> None:
    # PDF is left out: after a crash its parser refuses all others of the same process.
    whole_files = {
        "a.docx": samples.docx(),
        "a.xlsx": samples.xlsx("s", [["a", "b"], ["c", 2]]),
        "a.odt": samples.odt(),
        "a.epub": samples.epub(a="<p>x", b="<h1>y"),
        "a.zip": samples.archive({"x.txt": "words " * 50, "n.zip": samples.archive({"q.txt": "q"})}),
        "a.tar": tarred({"x.txt": b"words", "y.csv": b"a,b\n1,2\n"}),
        "a.tgz": gzip.compress(tarred({"x.txt": b"words" * 100})),
        "a.txt.xz": lzma.compress(b"words" * 100),
        "a.txt.zst": zstandard.compress(b"words" * 100),
        "a.mbox": samples.mailbox(samples.message(), samples.message("x")),
        "a.ipynb": samples.notebook({"cell_type": "code", "source": "x", "outputs": []}),
        "a.csv": b'a,b\n"1",2\n',
        "noname": samples.message(),
    }
    # The version that is needed to unpack it: the library refuses that in a way of its own.
    strange = bytearray(whole_files["a.zip"])
    strange[strange.index(b"PK\x01\x02") + 6] = 248
    whole_files["strange"] = bytes(strange)
    chosen = random.Random(7)
    for name, data in whole_files.items():
        for _ in range(30):
            broken = bytearray(data)
            for _ in range(chosen.choice((0, 1, 2, 5))):
                place = chosen.randrange(len(broken) or 1)
                match chosen.randrange(4):
                    case 0:
                        broken[place : place + 1] = chosen.randbytes(1)
                    case 1:
                        del broken[place : place + chosen.randrange(1, 40)]
                    case 2:
                        broken[place:place] = chosen.randbytes(chosen.randrange(1, 20))
                    case 3:
                        del broken[max(1, place) :]
            file = put(tmp_path / name, bytes(broken))
            found = one(file)
            assert isinstance(found, Document | Rejection | Unpacked)
            assert look(file, None, OPTIONS).file.path == file.path
            if isinstance(found, Rejection):
                assert found.error
                assert found.stage


# -- tables that are too large to be held ------------------------------------


def lines_of(unpacked: Unpacked) -> list[tuple[int, int]]:
    """The lines of all passages, in order."""
    found = []
    for member in unpacked.members:
        assert isinstance(member, Document), member
        found += [passage.place.lines for passage in member.passages]
    assert all(lines is not None for lines in found)
    return found  # type: ignore[return-value]


def table(rows: int) -> bytes:
    """A table whose rows have two lines each: ``name N`` stands on the lines 2N and 2N + 1."""
    body = "".join(f'name {number};"first line\nof {number}, ""quoted"""\n' for number in range(1, rows + 1))
    return f"name;note\n{body}".encode()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> PrepareOptions:
    from tenire.documents.containers import tables

    monkeypatch.setattr(tables, "_PART", 1000)
    return PrepareOptions(max_file=10_000)


@pytest.mark.parametrize("packer", [None, "gz", "zst"])
def test_a_table_larger_than_a_file_is_read_in_parts_and_no_row_is_lost_or_torn(
    tmp_path: Path, small_parts: PrepareOptions, packer: str | None
) -> None:
    data = table(600)
    name = "big.csv" if packer is None else f"big.csv.{packer}"
    file = put(tmp_path / name, data if packer is None else PACKERS[packer](data))
    unpacked = whole(file, small_parts, most=3)
    assert isinstance(unpacked.container, Document)
    texts = told(unpacked, file)
    assert list(texts) == [f"{number}.csv" for number in range(1, len(texts) + 1)]
    assert len(texts) > 20
    rows = "\n\n".join("\n\n".join(p.text for p in m.passages) for m in unpacked.members if isinstance(m, Document))
    assert rows.split("\n\n") == [f'name: name {n}\nnote: first line\nof {n}, "quoted"' for n in range(1, 601)]
    # Each passage names the lines that its rows have in the whole file.
    following = 2
    for first, last in lines_of(unpacked):
        assert (first, last % 2) == (following, 1)
        following = last + 1
    assert following == 2 * 601


def test_a_compressed_table_that_is_small_enough_is_one_document(tmp_path: Path, small_parts: PrepareOptions) -> None:
    found = one(put(tmp_path / "small.csv.gz", gzip.compress(table(100))), small_parts)
    assert isinstance(found, Document)
    assert found.passages[0].place.lines is not None
    assert found.passages[0].place.lines[0] == 2


def test_lines_of_json_are_read_in_parts_and_one_that_is_too_long_is_refused_alone(
    tmp_path: Path, small_parts: PrepareOptions
) -> None:
    rows = [b'{"id": %d}' % number for number in range(2000)]
    rows[700] = b'{"long": "' + b"x" * 30_000 + b'"}'
    file = put(tmp_path / "rows.jsonl", b"\n".join(rows) + b"\n")
    unpacked = whole(file, small_parts, most=4)
    (refused,) = [member for member in unpacked.members if isinstance(member, Rejection)]
    assert "its line 701 is longer than max_file" in refused.error
    found = {
        line: passage.place.lines
        for member in unpacked.members
        if isinstance(member, Document)
        for passage in member.passages
        for line in passage.text.split("\n\n")
    }
    assert found.keys() >= {f"id: {number}" for number in (0, 1999, 702)}
    lines = found["id: 1999"]
    assert lines is not None
    assert lines[0] <= 2000 == lines[1]
    assert len(found) == 1999


def test_a_quote_that_is_never_closed_ends_with_its_part(
    tmp_path: Path, small_parts: PrepareOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenire.documents.containers import tables

    monkeypatch.setattr(tables, "_LONGEST_ROW", 500)
    rows = [f"row {number},words" for number in range(2000)]
    rows[5] = '"never closed,words'
    unpacked = whole(put(tmp_path / "a.csv", "\n".join(rows).encode()), small_parts)
    texts = "\n".join(told(unpacked, unpacked.container.file).values())
    assert all(f"row {number}" in texts for number in range(2000) if number != 5)


def test_a_large_table_of_wide_characters_says_what_to_do(tmp_path: Path, small_parts: PrepareOptions) -> None:
    unpacked = whole(put(tmp_path / "a.csv", table(600).decode().encode("utf-16")), small_parts)
    assert isinstance(unpacked.container, Rejection)
    assert "convert it to UTF-8" in unpacked.container.error


def test_equal_rows_on_other_lines_are_documents_of_their_own(tmp_path: Path, small_parts: PrepareOptions) -> None:
    unpacked = whole(put(tmp_path / "a.jsonl", b'{"same": "words"}\n' * 3000), small_parts)
    ids = [member.id for member in unpacked.members if isinstance(member, Document)]
    assert len(set(ids)) == len(ids) > 10
    assert lines_of(unpacked)[-1][1] == 3000


def test_a_look_into_a_large_table_names_its_part(tmp_path: Path, small_parts: PrepareOptions) -> None:
    file = put(tmp_path / "big.csv", table(600))
    assert look(file, None, small_parts).unpacked is not None
    found = look(file, 2, small_parts)
    assert (found.file.path, found.reader) == (f"{file.path}!/3.csv", "csv")
