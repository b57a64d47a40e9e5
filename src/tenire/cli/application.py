"""The commands, tied together."""

from __future__ import annotations

import sys

import typer

from tenire.cli.commands.documents import ingest, run_file, search
from tenire.cli.commands.engine import cancel, pause, priority, resume
from tenire.cli.commands.faces import dashboard, top
from tenire.cli.commands.gui import gui
from tenire.cli.commands.home import compact, failed, retry, status, verify
from tenire.cli.commands.machine import doctor
from tenire.cli.commands.why import why
from tenire.cli.common import common_callback, with_common
from tenire.errors import ConfigError

__all__ = ["build", "run"]

_ABOUT = "Run data and AI pipelines side by side on this computer, without freezing it or losing a finished result."


def build(*, pretty: bool) -> typer.Typer:
    """Return the application.

    Args:
        pretty: Whether ``--help`` draws boxes and colours; plain text otherwise.
    """
    app = typer.Typer(
        name="tenire",
        help=_ABOUT,
        add_completion=False,
        rich_markup_mode="rich" if pretty else None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(invoke_without_command=True)(common_callback())
    for name, command in (
        ("ingest", ingest),
        ("search", search),
        ("run", run_file),
        ("status", status),
        ("failed", failed),
        ("retry", retry),
        ("why", why),
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("priority", priority),
        ("dashboard", dashboard),
        ("gui", gui),
        ("top", top),
        ("verify", verify),
        ("compact", compact),
        ("doctor", doctor),
    ):
        app.command(name)(with_common(command))
    return app


def run(words: list[str]) -> int:
    """Parse and run one command.

    Args:
        words: The words after ``tenire``.

    Returns:
        The command's exit code; 0 for ``--help``.

    Raises:
        ConfigError: For words that the parser refuses.
        TenireError: What the command raised.
    """
    app = build(pretty=sys.stdout.isatty())
    try:
        code = app(words, prog_name="tenire", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tenire"
        reason = error.format_message().rstrip(".")
        raise ConfigError(reason[:1].lower() + reason[1:], hint=f"see: {command} --help") from error
    return code if isinstance(code, int) else 0
