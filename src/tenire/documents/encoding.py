"""Bytes to text: byte-order marks, UTF-8, declared charsets, and a guess at the rest.

Order of trust: a byte-order mark; strict UTF-8 (text in another encoding almost
never passes for it); UTF-8 in some lines and another encoding in others (files that
were put together); UTF-8 with a little damage (a cut file, one bad byte); what an
HTML page declares; detection on a bounded sample. What remains is refused, not
turned into noise.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from io import BytesIO

from tenire.errors import DocumentError, MissingExtraError

__all__ = ["decode"]

_SAMPLE = 1 << 16
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16-LE, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Control characters that text does not use: not tab, newlines, form feed, backspace or escape.
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_MAX_STRANGE = 0.25
_MAX_CONTROLS = 0.04  # random bytes hold 10 %
_MAX_DAMAGE = 0.1
# A line of Chinese with a single character passes for UTF-8 once in ten times, one with three hardly ever.
_TELLING = 3
_ASCII = float("inf")

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.I)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{2,40})", re.I)
# What browsers do: these names stand for their larger Windows relatives.
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
# Detection is confined to what is found in the wild. Left alone it prefers rare
# tables (French as mac_latin2, Polish as iso8859_10) that differ in a few letters.
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "iso8859_2", "tis_620",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_NEIGHBOURS = frozenset({"cp1250", "cp1254", "iso8859_2"})
_WIDE = frozenset({"cp932", "euc_jp", "gb18030", "big5", "cp949"})
_PAIR = re.compile(rb"[\x80-\xff]{2}")
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœßùúûüÿÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜŸ¡¿«»‹›„“”‘’‚–—…€£§©®°·º\xa0")


def decode(data: bytes, *, source: str, declares: bool = False) -> str:
    """Return a file's text.

    Args:
        data: The file's bytes.
        source: Its path, for the error.
        declares: Whether the text may name its own charset (HTML, XML).

    Raises:
        DocumentError: Of stage ``validate``, if these bytes are no text.
    """
    for bom, codec in _BOMS:
        if data.startswith(bom):
            # UTF-8 with a mark goes on below: its damage is worth judging.
            if codec != "utf-8":
                return data[len(bom) :].decode(codec, "replace")
            data = data[len(bom) :]
            break
    if b"\0" in data:
        return _decode_wide(data, source)
    controls = len(data[:_SAMPLE]) - len(data[:_SAMPLE].translate(None, _CONTROLS))
    if controls > _MAX_CONTROLS * min(len(data), _SAMPLE):
        raise _refusal(source, f"{controls} control characters in its first {min(len(data), _SAMPLE)} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _decode_other(data, error, source=source, declares=declares)
    if b"\x1b$" in data[:_SAMPLE] and data.isascii():
        return _try(data, "iso2022_jp") or text
    return text


def charset_codec(name: str) -> str | None:
    """Return the codec of a charset that a document names, or ``None`` if there is no such charset.

    Args:
        name: As it stands there. What browsers take for the larger relative on Windows is that.
    """
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):  # the latter for a name with a NUL
        return None
    # Python's registry also holds codecs that are not charsets (rot13, zip).
    if codec.name.startswith(("idna", "punycode", "undefined", "unicode", "raw")) or not getattr(
        codec, "_is_text_encoding", True
    ):
        return None
    return _WIDER.get(codec.name, codec.name)


def _decode_wide(data: bytes, source: str) -> str:
    """Decode UTF-16 without a mark, the only text that is full of NULs."""
    sample = data[:_SAMPLE]
    if sample.count(0) < len(sample) / 4 and len(sample.translate(None, _PRINTABLE)) < _MAX_STRANGE * len(sample):
        # Plain text with a few NULs would pass for Chinese; in UTF-16, text that is
        # nearly all of printable bytes is half NULs.
        raise _refusal(source, f"a NUL byte at offset {data.index(0)}")
    big_endian = sample[0::2].count(0) > sample[1::2].count(0)
    even = data[: len(data) & ~1]
    text = _try(even, "utf-16-be" if big_endian else "utf-16-le")
    if text is None or "\0" in text or not _plausible(text[:4096]):
        raise _refusal(source, f"a NUL byte at offset {data.index(0)}")
    return text


def _plausible(text: str) -> bool:
    strange = sum(
        unicodedata.category(character) in ("Cc", "Cn", "Co") and character not in "\t\n\r\f" for character in text
    )
    return strange <= 0.01 * len(text)


def _decode_other(data: bytes, error: UnicodeDecodeError, *, source: str, declares: bool) -> str:
    repaired = data.decode("utf-8", "replace")
    damage = repaired.count("\ufffd")
    intact = len(repaired) - len(repaired.encode("ascii", "ignore")) - damage
    cut = error.reason == "unexpected end of data" and len(data) - error.start >= 2
    declared = _declared(data[:4096]) if declares else None
    mixed = None if cut else _decode_mixed(data, declared)
    if mixed is not None:
        return mixed
    if (intact and damage <= max(1, _MAX_DAMAGE * intact)) or cut:
        return repaired
    text = _try(data, declared) if declared else None
    if text is not None:
        return text
    guess = _guess(_sample(data, error.start))
    if guess is None:
        raise DocumentError(
            "expected text, got bytes in an encoding that cannot be recognised",
            source=source,
            stage="validate",
            hint="convert the file to UTF-8",
        )
    text = data.decode(guess, "replace")
    if text.count("\ufffd") > _MAX_DAMAGE * max(10, len(text) - len(text.encode("ascii", "ignore"))):
        raise _refusal(source, f"bytes that are neither UTF-8 nor {guess}, its best guess")
    return text


def _decode_mixed(data: bytes, declared: str | None) -> str | None:
    """Decode each line as what it is, if some are UTF-8 and others are not; else return ``None``."""
    # Lines are cut off one by one, twice: a list of them would take more room than the file.
    letters = [_utf8_letters(line) for line in BytesIO(data)]
    strange = [found for found in letters if found is not _ASCII]
    enough = 1 if 2 * sum(map(bool, strange)) >= len(strange) else _TELLING
    others = b"".join(line for line, found in zip(BytesIO(data), letters, strict=True) if found < enough)
    if not others or max(strange) < enough:
        return None
    codec = declared or _guess(_sample(others, 0)) or "cp1252"
    return "".join(
        line.decode("utf-8" if found >= enough else codec, "replace")
        for line, found in zip(BytesIO(data), letters, strict=True)
    )


def _utf8_letters(line: bytes) -> float:
    """Return how many letters of UTF-8 a line has beyond ASCII, or 0 if more than those are damaged."""
    if line.isascii():
        return _ASCII
    text = line.decode("utf-8", "replace")
    damage = text.count("\ufffd")
    intact = sum(character > "\x7f" for character in text) - damage
    return intact if intact >= damage else 0


def _declared(head: bytes) -> str | None:
    found = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
    codec = None if found is None else charset_codec(found.group(1).decode("ascii"))
    # UTF-8 was tried; a page that can be read this far is not UTF-16 either.
    return None if codec is None or codec.startswith("utf") else codec


def _sample(data: bytes, first_bad: int) -> bytes:
    """Cut a bounded piece around the first strange byte, at line ends where there are any."""
    begin = max(0, first_bad - (_SAMPLE >> 3))
    if begin:
        begin = data.rfind(b"\n", begin, first_bad) + 1 or begin
    end = min(len(data), begin + _SAMPLE)
    if end < len(data):
        end = data.rfind(b"\n", first_bad + 1, end) + 1 or data.rfind(b" ", first_bad + 1, end) + 1 or end
    return data[begin:end]


def _guess(sample: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingExtraError("recognising encodings", extra="data", missing="charset-normalizer") from error
    best = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    guess = best.encoding if best is not None else None
    if guess is None or guess in _NEIGHBOURS or (guess in _WIDE and _PAIR.search(sample) is None):
        # Short Western texts score the same in the tables beside theirs, and one
        # accent and the letter behind it can be a Chinese character. There, a text
        # that uses Western letters only is Western.
        western = _try(sample, "cp1252")
        if western is not None and all(character in _WESTERN or character.isascii() for character in western):
            return "cp1252"
    return guess


def _try(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def _refusal(source: str, found: str) -> DocumentError:
    return DocumentError(
        f"expected text, got {found}: the file looks binary",
        source=source,
        stage="validate",
        hint="leave the file out, or give it a suffix of its real type",
    )
