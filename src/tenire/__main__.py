"""``python -m tenire`` and the ``tenire`` command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit code."""
    # Imported here: `tenire.__main__` is also imported by worker processes that
    # re-import the main module, and they need none of the command line.
    from tenire.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
