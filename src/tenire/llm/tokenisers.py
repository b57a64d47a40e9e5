"""Counts tokens as OpenAI's models do, where tiktoken and its vocabulary are on this machine.

tiktoken fetches a vocabulary when it is first used, and anew if its file is damaged. Here it
is used only if it need not: if it is of a version that is known to look for the file where
this looks, and the file is there and whole.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.llm.token_estimate import text_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["has_tiktoken", "load_tokeniser", "load_tokenisers"]

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_FILES = {"o200k_base": "o200k_base", "o200k_harmony": "o200k_base", "cl100k_base": "cl100k_base"}
_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_FIRST, _LAST = (0, 7), (0, 14)  # versions of tiktoken
_LONGEST = 20_000  # characters: a longer text would hold up the loop for milliseconds


def has_tiktoken() -> bool:
    """Return whether tiktoken is installed; takes microseconds."""
    return "tiktoken" in sys.modules or find_spec("tiktoken") is not None


def load_tokenisers(models: Iterable[str]) -> dict[str, Callable[[str], float]]:
    """Return what counts the tokens of a text, by model, where that is known; blocks, see ``load_tokeniser``."""
    found = {model: load_tokeniser(model) for model in models}
    return {model: count for model, count in found.items() if count is not None}


def load_tokeniser(model: str) -> Callable[[str], float] | None:
    """Return what counts the tokens of a text for a model, or ``None`` if nothing here knows.

    Reads a file for half a second the first time: call it on a thread. Texts of more than
    20,000 characters are estimated all the same. Fetches nothing.
    """
    try:
        import tiktoken
    except ImportError:
        return None
    if not _is_known(getattr(tiktoken, "__version__", "")):
        return None
    try:
        name = tiktoken.encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        return None
    try:
        if name not in _FILES or not _is_kept(_FILES[name]):
            return None
        return _counter(tiktoken.get_encoding(name))
    except (OSError, ValueError):  # the file cannot be read
        return None


def _is_known(version: str) -> bool:
    parts = version.split(".")[:2]
    return all(part.isdigit() for part in parts) and _FIRST <= tuple(map(int, parts)) <= _LAST


def _is_kept(name: str) -> bool:
    """Return whether tiktoken would find a vocabulary without fetching it; it throws away a file that is damaged."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":  # tiktoken's way to keep nothing
        return False
    place = Path(tempfile.gettempdir(), "data-gym-cache") if folder is None else Path(folder)
    file = place / hashlib.sha1(_SOURCE.format(name).encode(), usedforsecurity=False).hexdigest()
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == _SHA256[name]


def _counter(encoding: Any) -> Callable[[str], float]:
    def count(text: str) -> float:
        return len(encoding.encode_ordinary(text)) if len(text) <= _LONGEST else text_tokens(text)

    return count
