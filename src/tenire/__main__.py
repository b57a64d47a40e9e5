"""``python -m tenire`` and the ``tenire`` command."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit code."""
    # Imported here: `tenire.__main__` is also imported by worker processes that
    # re-import the main module, and they need none of the command line.
    from tenire.cli import main as run

    code = run()
    # All is done and said; a Ctrl-C from here on must not make a failure of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code > 128:
        # Interrupted. Unloading everything would take longer than stopping did, and
        # threads that could not be stopped may still be inside a library.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
