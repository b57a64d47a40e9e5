"""What a file is, judged by its name and its first bytes.

How plain text is cleansed and cut goes by its name, and by a look where that says
nothing. What can hold text but cannot be read by this version has a name here, to be
refused with, and so has content that holds none (a picture called ``notes.txt``).
``recognition`` tells which reader a file needs.
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["Kind", "binary_format", "kind_of", "names_text", "unsupported_format"]


class Kind(StrEnum):
    """How a text is cleansed and cut."""

    TEXT = "text"
    MARKDOWN = "markdown"
    RST = "rst"
    HTML = "html"
    CODE = "code"


_SUFFIXES = {
    Kind.MARKDOWN: "md markdown mdown mdwn mkd mkdn mdx qmd rmd",
    Kind.RST: "rst rest",
    Kind.HTML: "html htm xhtml xht shtml",
    Kind.CODE: """
        ada adb ads asm awk bas bash bat c cc cfg cjs clj cljs cmake cmd coffee conf cpp cs css csh cts cu cxx d dart
        diff dockerfile dot editorconfig el erl ex exs f f90 fish fs go gradle graphql groovy h hh hpp hs hxx ini ipp
        java js json5 jsonc jsx jl kt kts less lisp lua m4 mak make mjs mk ml mli mm mts nim nix pas patch php pl
        pm proto properties ps1 py pyi pyx r rake rb rs s sass scala scm scss sh sql sty sv svelte swift tcl tf toml ts
        tsx v vb vbs vhd vim vue xsd xsl xslt yaml yml zig zsh
    """,
    Kind.TEXT: """
        adoc asc asciidoc bib changes ics ldif log man nfo org po pod pot rdf sgml srt
        strings tex texi texinfo text textile ttl txt vcf vtt wiki xml
    """,
}
_KIND_BY_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

# Only names that mean nothing else. "server.key", "graph.dot" and "words.db" may well
# be plain text; those are judged by their content.
_UNSUPPORTED = {
    "old Word": "doc",
    "old or binary Excel": "xls xlsb",
    "old PowerPoint": "ppt pps",
    "OpenDocument drawing or flat": "odg fodt fods fodp",
    "Mobipocket": "mobi azw azw3",
    "DjVu": "djvu djv",
    "PostScript": "ps",
    "compiled help (CHM)": "chm",
    "Outlook": "msg pst ost",
    "7-Zip archive": "7z",
    "RAR archive": "rar",
    "web archive": "warc webarchive",
    "LZ4-compressed": "lz4",
    "Arrow": "arrow feather",
    "Avro": "avro",
    "SQLite database": "sqlite sqlite3 db3",
    "Access database": "mdb accdb",
}
_UNSUPPORTED_BY_SUFFIX = {suffix: name for name, suffixes in _UNSUPPORTED.items() for suffix in suffixes.split()}

# (first bytes, name, whether it can hold text). Checked before the text is decoded,
# since several of these would pass for text in some 8-bit encoding.
_MAGIC: tuple[tuple[bytes, str, bool], ...] = (
    (b"\x1f\x9d", "compress (.Z)", True),
    (b"\x04\x22\x4d\x18", "LZ4-compressed", True),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive", True),
    (b"Rar!\x1a\x07", "RAR archive", True),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document", True),
    (b"%!PS-Adobe", "PostScript", True),
    (b"SQLite format 3\x00", "SQLite database", True),
    (b"ARROW1", "Arrow", True),
    (b"\x7fELF", "ELF program", False),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O program", False),
    (b"\xcf\xfa\xed\xfe", "Mach-O program", False),
    (b"\x00asm", "WebAssembly program", False),
    (b"\x89PNG\r\n\x1a\n", "PNG picture", False),
    (b"\xff\xd8\xff", "JPEG picture", False),
    (b"GIF87a", "GIF picture", False),
    (b"GIF89a", "GIF picture", False),
    (b"RIFF", "RIFF sound, video or picture", False),
    (b"OggS", "Ogg sound or video", False),
    (b"fLaC", "FLAC sound", False),
    (b"ID3", "MP3 sound", False),
    (b"wOFF", "font", False),
    (b"wOF2", "font", False),
)
# "RIFF", "ID3" and "wOFF" are also ways to begin a sentence: these
# count only with a byte near them that no text has.
_SHORT_MAGIC = 4
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_LOOKS_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html)[\s>]", re.I | re.S
)


def kind_of(name: str, head: bytes) -> Kind:
    """Return how a file of this name, beginning with these bytes, is to be read.

    Args:
        name: The file's name.
        head: Its first bytes, at least 1 KiB where there are as many.
    """
    stem, _, suffix = name.lower().rpartition(".")
    if not stem:
        suffix = ""
    # Sphinx publishes its sources as "page.rst.txt"; the inner name says more.
    inner = stem.rpartition(".")[2] if suffix == "txt" else ""
    if inner in ("rst", "md"):
        return _KIND_BY_SUFFIX[inner]
    kind = _KIND_BY_SUFFIX.get(suffix)
    if kind is not None and suffix != "xml":
        return kind
    sample = head.removeprefix(b"\xef\xbb\xbf")
    if _LOOKS_HTML.match(sample):
        return Kind.HTML
    if kind is None and sample.startswith(b"#!"):
        return Kind.CODE
    return kind or Kind.TEXT


def names_text(name: str) -> bool:
    """Return whether a name alone says that a file is text of some kind."""
    stem, _, suffix = name.lower().rpartition(".")
    return bool(stem) and suffix in _KIND_BY_SUFFIX


def unsupported_format(name: str) -> str | None:
    """Return the format of a name that holds text this version cannot read, else ``None``."""
    stem, _, suffix = name.lower().rpartition(".")
    return _UNSUPPORTED_BY_SUFFIX.get(suffix) if stem else None


def binary_format(head: bytes) -> tuple[str, bool] | None:
    """Recognise content that is no plain text by its first bytes.

    Args:
        head: The file's first bytes.

    Returns:
        The format's name and whether it can hold text, or ``None``.
    """
    for magic, name, holds_text in _MAGIC:
        if head.startswith(magic) and (len(magic) > _SHORT_MAGIC or _NOT_TEXT.search(head, 0, 64)):
            return name, holds_text
    if head.startswith(b"MZ") and _NOT_TEXT.search(head, 0, 64):
        return "Windows program", False
    if head[4:8] == b"ftyp":
        return "MP4 or HEIF media", False
    return None
