"""Texts as PostgreSQL's parser can be trusted with: words and blanks, nothing else.

Left alone it takes ``os.path.join`` for a host, ``foo-bar`` for three words, and other things
for addresses, tags and numbers. So a text and a query go through the same small mill first.
"""

from __future__ import annotations

import re
import unicodedata

from tenire.vectors.unspaced import spaced

__all__ = ["postgres_text", "spelled"]

_ACCENTS = re.compile("[\u0300-\u036f]+")
_FOREIGN = re.compile(r"[^\w\x00-\x7f]+")
"""Anything but a word, beyond ASCII."""
_ASCII = bytes(byte if byte > 127 or chr(byte).isalnum() else 32 for byte in range(256))
_MOST = 400_000
"""Characters: the positions of words in so many fit into what PostgreSQL can hold."""


def spelled(text: str) -> str:
    """Return the words of a text, small, without accents, between blanks; of ``unspaced`` scripts, the characters."""
    text = text[:_MOST].lower()
    if not text.isascii():
        text = _FOREIGN.sub(" ", _ACCENTS.sub("", unicodedata.normalize("NFD", spaced(text))))
    # As bytes: that is five times as fast, and what it costs is what the client adds to a copy.
    return text.encode("utf-8", "replace").translate(_ASCII).decode("utf-8")


def postgres_text(text: str) -> tuple[str, bytes | None]:
    """Return a text as PostgreSQL can hold it, and its bytes where that is not the text itself."""
    if "\0" not in text:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            pass
        else:
            return text, None
    held = text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
    return held, text.encode("utf-8", "surrogatepass")
