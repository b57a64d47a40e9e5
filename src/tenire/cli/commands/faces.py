"""``dashboard`` and ``top``: watch and steer a run, in a browser or in the terminal."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from tenire.cli.common import Settings
from tenire.cli.interrupts import INTERRUPTED, interruptible
from tenire.concurrency.blocking import run_blocking
from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from tenire.dashboard import Dashboard

__all__ = ["dashboard", "top"]


def dashboard(
    settings: Settings,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65_535, help="Where to listen; 0: any free port."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in a browser.")] = False,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Let other machines in: who learns the token can read and steer, unencrypted."
        ),
    ] = False,
) -> int:
    """Watch and steer a run in a browser.

    The first line printed is the address with its token. An engine need not run yet; the page finds it. Ctrl-C ends
    the page, not the run.
    """
    from tenire.dashboard import Dashboard
    from tenire.storage.home import Home

    # Made here: paths are looked at before a loop runs.
    made = Dashboard(Home(settings.home_path()), port=port, host=host, remote=allow_remote)
    try:
        with interruptible():
            asyncio.run(_serve(settings, made, opened=not no_open))
    except KeyboardInterrupt:
        settings.output.error_line("the dashboard has ended; what runs goes on", label="note")
        return INTERRUPTED
    return 0


async def _serve(settings: Settings, made: Dashboard, *, opened: bool) -> None:
    output = settings.output
    async with made as running:
        output.show(running.address)
        if output.as_json:
            output.json({"address": running.address, "port": running.port})
        if running.remote:
            output.error_line("other machines can reach this page, and nothing is encrypted", label="warning")
        if opened and not await run_blocking(running.open_in_browser):
            output.error_line("there is no browser here; open the address in one", label="note")
        await running.wait_ended()


def top(settings: Settings) -> int:
    """Watch and steer a run in the terminal.

    An engine need not run yet; it is found when it starts. Quitting leaves the run alone.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        message = "tenire top needs a terminal, and its input or output is none"
        raise ConfigError(message, hint="tenire status shows the same once, with --json for programs")
    if find_spec("textual") is None:
        raise MissingExtraError("tenire top", extra="top", missing="textual")
    from tenire.app.feed import Feed
    from tenire.cli.top.application import PERIOD_S, Top
    from tenire.storage.home import Home

    application = Top(Feed(Home(settings.home_path()), period=PERIOD_S))
    application.run()
    return application.return_code or 0
