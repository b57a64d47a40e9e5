"""Texts as PostgreSQL's parser can be trusted with: words and blanks, nothing else.

Left alone it takes ``os.path.join`` for a host, ``foo-bar`` for three words, and other things
for addresses, tags and numbers. So a text and a query go through the same small mill first.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["postgres_text", "spelled"]

_ACCENTS = re.compile("[\u0300-\u036f]+")
_NO_WORD = re.compile(r"[\W_]+")
_ASCII = {number: " " for number in range(128) if not chr(number).isalnum()}
_MOST = 400_000
"""Characters: the positions of words in so many fit into what PostgreSQL can hold."""


def spelled(text: str) -> str:
    """Return the words of a text, small, without accents, between blanks."""
    text = text[:_MOST].lower()
    if text.isascii():
        return text.translate(_ASCII)
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return _NO_WORD.sub(" ", plain)


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
