"""E-mail: who wrote what to whom, and the text of the message.

Of a message that says the same in several ways, the plain text is taken, or else the
page in HTML. Attachments that can be read are part of it; the others are named.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.policy
import email.utils
import io
from typing import TYPE_CHECKING, Any

from tenire.documents.encoding import charset_codec, decode
from tenire.documents.html import extract
from tenire.documents.readers.reading import Raw, Reading, damaged
from tenire.documents.recognition import HEAD, Format, recognise, zip_format
from tenire.documents.structure import plain, without_marks
from tenire.errors import ConfigError, DocumentError
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

__all__ = ["read"]

_SHOWN = ("From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_NOTHING_SAID = frozenset({"us-ascii", "ascii"})


def read(raw: Raw) -> Reading:
    """Read a message.

    Raises:
        DocumentError: If it has neither headers nor text.
    """
    message = email.message_from_bytes(raw.data, policy=email.policy.compat32)
    if not message.keys() and not isinstance(message.get_payload(), str):
        raise damaged(raw, "an e-mail", "it has no headers")
    _mend_headers(message, raw.source)
    subject = _header(message, "Subject")
    heads = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    texts: list[str] = []
    attached: list[str] = []
    for part in _parts(message):
        _mend_headers(part, raw.source)
        name = _filename(part)
        text = _text(part, raw.source) or (_attached(part, name, raw) if name else "")
        if text:
            texts.append(f"{name}\n\n{text}" if name else text)
        elif name:
            attached.append(name)
    blocks = [subject, "\n".join(heads), *texts, f"Attachments: {', '.join(attached)}" if attached else ""]
    extra = [(name.lower(), value) for name in ("To", "Cc", "Message-ID") if (value := _header(message, name))]
    extra += [("attachment", name) for name in attached]
    about = About("email", author=_header(message, "From"), date=_date(message), extra=tuple(extra))
    return Reading("\n\n".join(filter(None, blocks)), title=subject, about=about)


def _parts(message: Message) -> Iterator[Message]:
    """Yield what a reader of mail would show, outermost first: a stack, since parts may be nested without end."""
    stack = [message]
    for _ in range(_MOST_PARTS):
        if not stack:
            return
        part = stack.pop()
        if not part.is_multipart():
            yield part
            continue
        inner: Any = part.get_payload()
        if part.get_content_type() == "multipart/alternative":
            kinds = {each.get_content_type(): each for each in reversed(inner)}
            # The plainest: HTML may hide what it does not show, and the others are richer still.
            chosen = kinds.get("text/plain") or kinds.get("text/html")
            stack.append(chosen or inner[-1]) if inner else None
        else:
            stack.extend(reversed(inner))


def _text(part: Message, source: str) -> str:
    kind = part.get_content_type()
    if part.get_content_maintype() != "text" and kind not in ("application/xhtml+xml", "application/json"):
        return ""
    payload = _payload(part)
    if not isinstance(payload, bytes):
        return ""
    text = _decoded(payload, part.get_content_charset(), source)
    return extract(text)[1] if "html" in kind else without_marks(text)


def _attached(part: Message, name: str, raw: Raw) -> str:
    """Return the text of an attachment in a format of its own, or an empty string if it cannot be read."""
    from tenire.documents.readers import READERS, read

    data = _payload(part)
    if not isinstance(data, bytes) or not data:
        return ""
    try:
        form = recognise(name, data[:HEAD], source=raw.source)
        if form is Format.ZIP:
            form = zip_format(io.BytesIO(data), name)
        if form not in READERS or form is Format.EMAIL:
            return ""
        return plain(read(form, Raw(name, raw.source, data, raw.max_text)).text).strip()
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001 - whatever a parser makes of an attachment, the message can be read
        return ""


def _payload(part: Message) -> Any:
    try:
        return part.get_payload(decode=True)
    except (LookupError, ValueError):
        # The library tries the charset in between, which may be none.
        part.del_param("charset")
        return part.get_payload(decode=True)


def _decoded(data: bytes, charset: str | None, source: str) -> str:
    # A charset that is declared is right more often than not, but ASCII means nothing was said.
    codec = charset_codec(charset) if charset and charset not in _NOTHING_SAID else None
    if codec is not None:
        try:
            return data.decode(codec)
        except UnicodeError:
            pass
    try:
        return decode(data, source=source)
    except DocumentError:
        return data.decode("latin-1")


def _mend_headers(part: Message, source: str) -> None:
    """Decode headers that are written as they are, which many programs do though they may not.

    The library hands out a question mark for each of their bytes.
    """
    headers = list(part.raw_items())
    if all(value.isascii() for _, value in headers):
        return
    for name, _ in headers:
        del part[name]
    for name, value in headers:
        # What the parser could not decode; a header that was mended before has characters instead.
        escaped = any("\udc80" <= character <= "\udcff" for character in value)
        text = _decoded(value.encode("ascii", "surrogateescape"), None, source) if escaped else value
        part.set_raw(name, text)


def _header(message: Message, name: str) -> str:
    """Return a header for people: decoded, on one line; empty if it is missing or makes no sense."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        text = str(email.header.make_header(email.header.decode_header(str(value))))
    except (LookupError, ValueError, email.errors.HeaderParseError):
        text = str(value)
    return " ".join(text.split())[:1000]


def _date(message: Message) -> str:
    try:
        return email.utils.parsedate_to_datetime(str(message.get("Date", ""))).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _filename(part: Message) -> str:
    try:
        return " ".join((part.get_filename() or "").split())[:200]
    except (LookupError, ValueError, UnicodeError):
        return ""
