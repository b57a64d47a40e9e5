"""The command line.

``main`` is light on purpose: ``tenire --version`` and an early mistake must not
wait for the parser, and what every command shares (streams, exit codes, errors)
stands here around it.

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done, but items are in
quarantine; 130 interrupted (everything finished is kept).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The words after ``tenire``; ``None``: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = words[: words.index("--")] if "--" in words else words
    as_json = "--json" in options
    from tenire.cli.output import Output, prepare_streams

    prepare_streams()
    output = Output(as_json=as_json)
    try:
        if "--version" in options:
            # Not importlib.metadata: it loads the mail parser, four times our own cost.
            from tenire import __version__

            output.result({"version": __version__}, [f"tenire {__version__}"])
            return 0
        from tenire.cli.application import run

        return run(words)
    except KeyboardInterrupt:
        from tenire.cli.failures import interrupted

        return interrupted(output)
    except Exception as error:  # noqa: BLE001 - the last door: each error becomes a message and an exit code
        from tenire.cli.failures import report

        return report(error, output, verbose="--verbose" in options)
    finally:
        output.flush()
