"""What a server says is wrong, fit to be shown: without the prompt, and without a key.

Some servers quote the request in their complaint. A message of an error ends in logs,
tables and quarantines, where nobody expects the text of a user.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.observe.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenire.llm.keys import ApiKey

__all__ = ["Complaint", "complaint", "fit_to_show", "texts_in"]

_QUOTED = "[prompt]"
_LOOKED_AT = 1024  # characters of a complaint; those after them are not shown anyway
_STRIDE = 8  # what is common to both and as long as this twice is found
_SHORTEST_PROMPT = 4
_LONGEST_PROMPT = 300_000  # characters, through which it takes ten milliseconds to look
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_REDACTION = Redaction()


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a body says is wrong; all texts as they came.

    Attributes:
        message: For people.
        code: The provider's names for it, the most exact one first.
        flagged: Whether the provider's moderation refused the prompt.
        retry_delay: When to come again, as Google writes it (``34s``), or an empty text.
    """

    message: str
    codes: tuple[str, ...] = ()
    flagged: bool = False
    retry_delay: str = ""

    @property
    def code(self) -> str | None:
        """The most exact name for it."""
        return self.codes[0] if self.codes else None


def complaint(body: bytes) -> Complaint:
    """Read what is wrong out of a body of any form; never raises."""
    try:
        return read_complaint(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 4 * _LOOKED_AT].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        return Complaint(f"a page of HTML: {' '.join(title[1].split())}" if title else "a page of HTML")
    return Complaint(text)


def read_complaint(data: Any) -> Complaint:
    """Read what is wrong out of decoded JSON.

    Known are the forms of OpenAI, Azure, OpenRouter (also in a choice) and vLLM, of Anthropic, of Gemini's
    list, of Ollama and llama.cpp (a plain text), of FastAPI (``detail``) and of gateways
    (``message``).
    """
    if isinstance(data, list) and data:
        return read_complaint(data[0])
    if isinstance(data, str):
        return Complaint(data)
    if not isinstance(data, dict):
        return Complaint("")
    inner = data.get("error") or _of_choice(data)
    if isinstance(inner, str):
        return Complaint(inner, _codes(data))
    if isinstance(inner, dict):
        return Complaint(_text(inner.get("message")), _codes(inner), _flagged(inner), _retry_delay(inner))
    detail = data.get("detail")
    if isinstance(detail, list):
        # Each entry also holds the input that it complains of, which is the prompt.
        return Complaint("; ".join(_of_field(entry) for entry in detail[:3] if isinstance(entry, dict)))
    return Complaint(_text(detail) or _text(data.get("message")), _codes(data))


def _of_choice(data: dict[str, Any]) -> Any:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("error") if isinstance(first, dict) else None


def _codes(error: dict[str, Any]) -> tuple[str, ...]:
    named = (error.get(name) for name in ("code", "type", "status"))
    return tuple(str(code) for code in named if isinstance(code, (str, int)) and not isinstance(code, bool) and code)


def _flagged(error: dict[str, Any]) -> bool:
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and ("flagged_input" in metadata or "reasons" in metadata)


def _retry_delay(error: dict[str, Any]) -> str:
    details = error.get("details")
    entries = details if isinstance(details, list) else []
    return next(filter(None, (_text(entry.get("retryDelay")) for entry in entries if isinstance(entry, dict))), "")


def _of_field(entry: dict[str, Any]) -> str:
    place = entry.get("loc")
    parts = place if isinstance(place, list) else []
    return f"{'.'.join(str(part) for part in parts)}: {_text(entry.get('msg'))}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def fit_to_show(text: str, prompt: Iterable[str], key: ApiKey | None) -> str:
    """Return a text as one line of bounded length, without what it quotes of a prompt, and without keys.

    Args:
        text: Of a server.
        prompt: The texts of the request.
        key: That was sent with it.
    """
    shown = text[:_LOOKED_AT]
    if key is not None:
        shown = key.hide(shown)
    parts = tuple(prompt)
    if sum(map(len, parts)) > _LONGEST_PROMPT:
        return "(not shown, since it may quote a prompt that is too long to look through)"
    quoted: list[tuple[int, int]] = []
    for part in parts:
        for spelt in _spellings(part) if "\\" in shown else (part,):
            quoted += _quotations(shown, spelt)
    return _REDACTION.clean(_cut_out(shown, sorted(quoted)))


def _spellings(text: str) -> set[str]:
    """Return a text as it is, and as JSON writes it within quotes."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _cut_out(text: str, stretches: list[tuple[int, int]]) -> str:
    """Return a text with one mark in place of each stretch, or of several that touch."""
    pieces, seen, last = [], 0, -1
    for start, end in stretches:
        if start > last:
            pieces += [text[seen:start], _QUOTED]
        seen = last = max(last, end)
    return "".join((*pieces, text[seen:]))


def _quotations(text: str, prompt: str) -> Iterator[tuple[int, int]]:
    """Yield where a text repeats a prompt: all of a short one, and long stretches of another."""
    if len(prompt) < 2 * _STRIDE:
        if len(prompt) >= _SHORTEST_PROMPT:
            yield from (found.span() for found in re.finditer(re.escape(prompt), text))
        return
    position = 0
    while position + _STRIDE <= len(text):
        start, end = position, position
        if text[position : position + _STRIDE] in prompt:
            start, end = _common(text, position, prompt)
        if end - start >= 2 * _STRIDE:  # a few words in common are no quotation
            yield start, end
            position = end
        else:
            position += _STRIDE


def _common(text: str, position: int, prompt: str) -> tuple[int, int]:
    """Return the stretch of a text around a position that the prompt has too."""
    start, end = position, position + _STRIDE
    # By halves: a prompt may be long, and a look through it slow.
    end += bisect_left(range(1, len(text) - end + 1), True, key=lambda more: text[start : end + more] not in prompt)
    start -= bisect_left(range(1, start + 1), True, key=lambda more: text[start - more : end] not in prompt)
    return start, end


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in the content of messages: strings, and the strings in lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("role", "type"):
                yield from texts_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts_in(inner)
