r"""What the commands print, and how it stays harmless and complete.

Documents and file names come from anywhere: they may hold escape sequences that
would drive the terminal, and bytes that are not UTF-8. Text for people shows
such characters as ``\x1b``; JSON is ASCII, so any stream can carry it. A reader
that leaves early (``| head``) ends the output, not the command.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from tenire.app.printable import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

__all__ = [
    "Output", "clean", "console_for", "human_bytes", "human_seconds", "human_usd", "prepare_streams", "shortened",
]  # fmt: skip


def prepare_streams() -> None:
    """Let no character of a result break the streams, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def console_for(stream: TextIO) -> Console:
    """Return a console that adds nothing of its own: no markup, emoji or wrapping of piped text."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not terminal,
        width=None if terminal else 10_000,
    )


class Output:
    """The two streams of one command.

    Args:
        as_json: Whether the last line of stdout is one JSON object.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, value: Any, shown: Iterable[RenderableType] = ()) -> None:
        """Print a command's result.

        Args:
            value: What ``--json`` prints.
            shown: What people see otherwise: texts (cleaned) and rich renderables.
        """
        if self.as_json:
            self.json(value)
        else:
            self.show(*shown)

    def show(self, *shown: RenderableType) -> None:
        """Print lines and renderables on stdout; plain lines never load rich."""
        console = None
        for entry in shown:
            if isinstance(entry, str):
                self._write(sys.stdout, clean(entry, lines=True) + "\n")
                continue
            console = console or console_for(sys.stdout)
            with console.capture() as captured:
                console.print(entry)
            # Tables fill their columns with spaces; piped lines end where the text does.
            text = captured.get()
            if not console.is_terminal:
                text = "".join(line.rstrip(" ") + "\n" for line in text.splitlines())
            self._write(sys.stdout, text)

    def json(self, value: Any) -> None:
        """Print one line of JSON on stdout."""
        self._write(sys.stdout, json.dumps(_plain(value), allow_nan=False) + "\n")

    def error_line(self, text: str, *, label: str = "error") -> None:
        """Print one line on stderr."""
        self._write(sys.stderr, f"{label}: {clean(text)}\n")

    def flush(self) -> None:
        """Flush both streams; a closed pipe is no error."""
        self._write(sys.stdout, "")
        self._write(sys.stderr, "")

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            # Nobody reads any more. The descriptor is replaced, so that neither the
            # next write nor the interpreter's last flush complains.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _plain(value: Any) -> Any:
    """Return JSON data: no surrogates, no NaN, no types of our own."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    import msgspec

    return _plain(msgspec.to_builtins(value))


def shortened(text: str, width: int, *, mark: str = "…") -> str:
    """Return a name in no more than so many cells of a terminal.

    Its end is kept as well as its beginning: often that alone tells it from the others.

    Args:
        text: The name, as ``clean`` returned it.
        width: Cells; 3 at the least.
        mark: What stands for what was left out; one cell.
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    tail, head = text[-width:], text[:width]
    while cell_len(tail) > width // 3:
        tail = tail[1:]
    while cell_len(head) + 1 + cell_len(tail) > width:
        head = head[:-1]
    return f"{head}{mark}{tail}"


def human_bytes(count: float) -> str:
    """Return a number of bytes for people, in powers of 1000.

    >>> human_bytes(1_234_567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


def human_seconds(seconds: float) -> str:
    """Return a duration for people.

    >>> human_seconds(3725), human_seconds(41), human_seconds(0.26)
    ('1:02:05', '0:41', '0.3 s')
    """
    if seconds < 9.95:  # 9.96 would read "10.0 s"
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def human_usd(usd: float, *, enough: bool = False) -> str:
    """Return an amount of US dollars for people: two digits that count, or cents.

    Args:
        usd: The amount.
        enough: Whether it is never to say less, as of what is needed.

    >>> human_usd(12.345), human_usd(0.0271), human_usd(0.000031), human_usd(0.0)
    ('$12.35', '$0.027', '$0.000031', '$0')
    >>> human_usd(12.342, enough=True), human_usd(0.0271, enough=True)
    ('$12.35', '$0.028')
    """
    if usd <= 0:
        return "$0"
    digits = 2 if usd >= 1 else max(2, 1 - math.floor(math.log10(usd)))
    return f"${math.ceil(usd * 10**digits) / 10**digits if enough else usd:,.{digits}f}"
