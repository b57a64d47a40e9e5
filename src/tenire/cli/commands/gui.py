"""``gui``: the monitor window."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tenire.cli.common import Settings
from tenire.errors import ConfigError

__all__ = ["gui"]

_THEMES = ("auto", "dark", "light")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def gui(
    settings: Settings,
    screenshot: Annotated[
        Path | None,
        typer.Option("--screenshot", metavar="FILE", help="Save a picture of the window when it is left."),
    ] = None,
    exit_after: Annotated[
        float | None, typer.Option("--exit-after", metavar="SECONDS", help="Leave by itself after so long.")
    ] = None,
    theme: Annotated[str, typer.Option("--theme", metavar="NAME", help="auto, dark or light.")] = "auto",
) -> int:
    """Show a window that follows the engine of this home.

    It finds the engine by itself, also one that starts later. Closing it stops no work.
    """
    if theme not in _THEMES:
        raise ConfigError(f"--theme must be {', '.join(_THEMES[:-1])} or {_THEMES[-1]}, got {theme!r}", key="--theme")
    if exit_after is not None and not 0 <= exit_after <= 86_400:
        raise ConfigError(f"--exit-after must be 0 to 86400 seconds, got {exit_after:g}", key="--exit-after")
    if screenshot is not None and exit_after is None:
        raise ConfigError("--screenshot needs --exit-after", key="--screenshot", hint="for example: --exit-after 3")
    if screenshot is not None and screenshot.suffix.lower() not in _PICTURES:
        message = f"--screenshot must end in {', '.join(_PICTURES[:-1])} or {_PICTURES[-1]}, got {screenshot}"
        raise ConfigError(message, key="--screenshot")
    if screenshot is not None and not screenshot.absolute().parent.is_dir():
        raise ConfigError(f"--screenshot: there is no directory {screenshot.parent}", key="--screenshot")
    from tenire.gui.process import WindowProcess, require_qt, require_screen

    require_qt()
    require_screen(os.environ, sys.platform)
    words = ["--theme", theme]
    if screenshot is not None:
        words += ["--screenshot", str(screenshot.absolute())]
    if exit_after is not None:
        words += ["--exit-after", str(exit_after)]

    async def show() -> tuple[int, str]:
        window = WindowProcess(settings.home_path().absolute(), words=words)
        return await window.run(), window.failure

    import asyncio

    code, failure = asyncio.run(show())
    if failure:
        raise ConfigError(failure, key="gui")
    shown = [f"picture saved: {screenshot}"] if screenshot is not None else []
    settings.output.result({"screenshot": str(screenshot.absolute()) if screenshot is not None else None}, shown)
    return code
