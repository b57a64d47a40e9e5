"""What the page reads: views of the feed as JSON, made once for all pages that are open.

1. A message is whole, or tells what became new since one that came before; the
   latter leaves out events, entries, samples and tasks that are known.
2. A page that has that earlier one gets the shorter; every other one gets the whole.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tenire.app.feed import View

__all__ = ["Messages", "as_json"]

_encoder = msgspec.json.Encoder()


def as_json(value: Any) -> bytes:
    """Return a value as JSON, whatever bytes the names of files are made of."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


class Messages:
    """The messages of the latest view."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._before: View | None = None
        self._whole = b""
        self._news = b""
        self._framed: tuple[bytes, bytes] = (b"", b"")

    def of(self, view: View, known: int) -> bytes:
        """Return the message that brings a page from one view to another.

        Args:
            view: The view; the latest one.
            known: Number of the view that the page has; 0 for none.
        """
        if self._view is not view:
            self._before, self._view = self._view, view
            self._whole = self._news = b""
        if self._before is not None and known == self._before.number:
            self._news = self._news or _event(view, _news(view, self._before))
            return self._news
        self._whole = self._whole or _event(view, _whole(view))
        return self._whole

    def chunk(self, message: bytes) -> bytes:
        """Return a message as a chunk of HTTP/1.1; made once, too, while it is that of most pages."""
        framed, chunk = self._framed
        if framed is not message:
            chunk = b"%x\r\n%b\r\n" % (len(message), message)
            self._framed = (message, chunk)
        return chunk


def _event(view: View, facts: dict[str, Any]) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (view.number, as_json(facts))


def _now(view: View) -> dict[str, Any]:
    engine = view.engine
    told: dict[str, Any] = {} if engine is None else msgspec.structs.asdict(engine)
    told.pop("pipelines", None)
    return {
        "number": view.number,
        "home": view.shown_home,
        "link": view.link,
        "since": view.since,
        "note": view.note,
        "engine": told or None,
        "pipelines": {
            name: {**msgspec.structs.asdict(each), "state": each.state, "fraction": each.fraction}
            for name, each in view.pipelines.items()
        },
        "rates": view.rates,
        "quarantined": view.quarantined,
        "documents": view.documents,
        "passages": view.passages,
    }


def _whole(view: View) -> dict[str, Any]:
    lists = {"events": view.events, "quarantine": view.quarantine, "samples": view.samples}
    return {"whole": True, **_now(view), **lists}


def _news(view: View, before: View) -> dict[str, Any]:
    facts = {"whole": False, **_now(view)}
    for name, told in facts["pipelines"].items():
        # Tasks wait for long, and their reasons are most of what there is to send.
        known = before.pipelines.get(name)
        if known is not None and known.tasks == told["tasks"]:
            del told["tasks"]
    if view.events is not before.events:
        facts["events"] = [event for event in view.events if event not in before.events]
    if view.quarantine is not before.quarantine:
        facts["quarantine"] = view.quarantine
    if view.samples is not before.samples:
        # Not by their times: the clock on the wall may have been put back.
        last = before.samples[-1] if before.samples else None
        facts["samples"] = tuple(takewhile(lambda each: each is not last, reversed(view.samples)))[::-1]
    return facts
