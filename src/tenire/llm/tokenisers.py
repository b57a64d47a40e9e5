"""Counts tokens as OpenAI's models do, where tiktoken and its vocabulary are on this machine.

tiktoken fetches a vocabulary when it is first used. Here it is used only if it need not:
if the file is in the folder where it keeps them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.llm.token_estimate import text_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["load_tokeniser"]

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_FILES = {"o200k_base": "o200k_base", "o200k_harmony": "o200k_base", "cl100k_base": "cl100k_base"}
_LONGEST = 20_000  # characters: a longer text would hold up the loop for milliseconds


def load_tokeniser(model: str) -> Callable[[str], float] | None:
    """Return what counts the tokens of a text for a model, or ``None`` if nothing here knows.

    Reads a file for half a second the first time: call it on a thread. Texts of more than
    20,000 characters are estimated all the same.
    """
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        return None
    if name not in _FILES or not _is_kept(_FILES[name]):
        return None
    try:
        return _counter(tiktoken.get_encoding(name))
    except (OSError, ValueError):  # the file is damaged, and cannot be fetched anew
        return None


def _is_kept(name: str) -> bool:
    """Return whether tiktoken would find a vocabulary without fetching it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":  # tiktoken's way to keep nothing
        return False
    place = Path(tempfile.gettempdir(), "data-gym-cache") if folder is None else Path(folder)
    return (place / hashlib.sha1(_SOURCE.format(name).encode(), usedforsecurity=False).hexdigest()).is_file()


def _counter(encoding: Any) -> Callable[[str], float]:
    def count(text: str) -> float:
        return len(encoding.encode_ordinary(text)) if len(text) <= _LONGEST else text_tokens(text)

    return count
