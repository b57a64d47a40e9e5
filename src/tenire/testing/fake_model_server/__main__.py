"""The fake model server as a process of its own.

``python -m tenire.testing.fake_model_server --rpm 500 --tpm 200000 --latency lognormal:0.2:0.5``
prints its base URL, serves until it is told to end (SIGTERM, Ctrl-C) or its parent
has ended, and then prints what happened as one line of JSON.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from tenire.testing.fake_model_server.server import FakeModelServer
from tenire.testing.fake_model_server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_LOOK_EVERY_S = 0.25
_LISTS = ("models", "output_tokens")
_TEXTS = ("poison", "api_key", "poison_answer")


def main(words: Sequence[str] | None = None) -> int:
    """Serve until told to end; return the exit code."""
    parser = _parser()
    given = vars(parser.parse_args(words))
    port = given.pop("port")
    try:
        settings = msgspec.json.decode(given.pop("settings"), type=dict[str, Any])
        settings |= {name: _value(name, text) for name, text in given.items() if text is not None}
        server = FakeModelServer(port=port, **settings)
    except ValueError as error:
        parser.error(str(error))
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    parent = psutil.Process().parent()
    try:
        server.start()
    except OSError as error:
        why = error.strerror or error
        message = f"cannot listen at port {port} of 127.0.0.1 ({why}): name another one, or 0 for any that is free"
        parser.exit(1, f"{parser.prog}: error: {message}\n")
    try:
        _print(server.base_url)
        while not told.wait(_LOOK_EVERY_S) and _lives(parent):
            pass
        _print(msgspec.json.encode(server.statistics()).decode())
    finally:
        server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tenire.testing.fake_model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="to listen at; any free one by default")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="all of the following, as one JSON object")
    for name in ServerSettings.__struct_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=_HELP.get(name))
    return parser


_HELP = {
    "faults": "for example error_500=0.1,hang=0.03",
    "outages": "for example 10:5,30:2:429",
    "models": "names, with commas between them",
    "output_tokens": "for example 8,64",
}


def _value(name: str, text: str) -> Any:
    """Return what a word on the command line means: plain words stay, the rest is read as what it looks like."""
    if name == "faults":
        pairs = (pair.partition("=") for pair in text.split(","))
        return {fault: _plain(part) for fault, _, part in pairs}
    if name == "outages":
        return [[_plain(part) if place < 2 else part for place, part in enumerate(outage.split(":"))]
                for outage in text.split(",")]  # fmt: skip
    if name in _LISTS:
        return [_plain(part) if name == "output_tokens" else part for part in text.split(",")]
    if name in _TEXTS:
        return text
    return _plain(text)


def _plain(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _lives(parent: psutil.Process | None) -> bool:
    # A parent that nobody has waited for yet still "runs"; but its children have another one by then.
    return parent is not None and parent.is_running() and os.getppid() == parent.pid


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
