"""From an exception to a message and an exit code.

Errors that a user can cause or meet are told in one or two lines. A traceback
is for bugs only, and only with ``--verbose``.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from tenire.errors import ConfigError, EmbedderMismatchError, TenireError

if TYPE_CHECKING:
    from tenire.cli.output import Output

__all__ = ["interrupted", "report"]


def report(error: Exception, output: Output, *, verbose: bool) -> int:
    """Tell an error and return the exit code.

    Args:
        error: What ended the command.
        output: Where to tell it.
        verbose: Whether to show the traceback of a bug.

    Returns:
        2 for what the user asked for, 1 for what went wrong.
    """
    kind = type(error).__name__
    if isinstance(error, TenireError):
        message, hint = str(error), error.hint
    elif isinstance(error, OSError):
        # A full disk, a home that may not be written: the machine's fault, not a bug.
        place = f" ({error.filename})" if error.filename is not None else ""
        message, hint = f"{error.strerror or error}{place}", None
    else:
        message = f"unexpected {kind}: {error}"
        hint = "this is a bug in Tenire; please report it with the output of the same command and --verbose"
        if verbose:
            trace = "".join(traceback.format_exception(error))
            for line in trace.splitlines():
                output.error_line(line, label="trace")
    if output.as_json:
        output.json({"error": {"type": kind, "message": message, "hint": hint}})
    else:
        output.error_line(message)
        if hint:
            output.error_line(hint, label="hint")
    # A store that was built with another embedder is refused like a wrong setting.
    return 2 if isinstance(error, (ConfigError, EmbedderMismatchError)) else 1


def interrupted(output: Output, *, lost_usd: float = 0.0) -> int:
    """Tell that Ctrl-C ended a command and return the exit code.

    Args:
        output: Where to tell it.
        lost_usd: What was charged for calls in flight when earlier programs were killed.
    """
    output.error_line("interrupted; everything finished is kept")
    if output.as_json:
        charged = {"lost_usd": lost_usd} if lost_usd else {}
        output.json({"error": {"type": "KeyboardInterrupt", "message": "interrupted", "hint": None}, **charged})
    return 130
