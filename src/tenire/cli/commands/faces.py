"""``dashboard`` and ``top``: watch and steer a run, in a browser or in the terminal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from tenire.cli.common import Settings
from tenire.cli.interrupts import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from tenire.dashboard import Dashboard

__all__ = ["dashboard"]


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
        if opened and not await asyncio.to_thread(running.open_in_browser):
            output.error_line("there is no browser here; open the address in one", label="note")
        await running.wait_ended()
