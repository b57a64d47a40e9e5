"""The options that every command has, before or after its own words.

``with_common`` adds them to a command's signature and hands the command one
``Settings`` object in their place, so no command repeats them.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from tenire.app.config import DEFAULT_HOME
from tenire.cli.failures import interrupted
from tenire.cli.output import Output
from tenire.errors import ConfigError

__all__ = ["Settings", "common_callback", "with_common"]

P = ParamSpec("P")

_PANEL = "Common options (before or after the command)"
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "home": (
        Annotated[
            str | None,
            typer.Option(
                "--home",
                metavar="DIR",
                help=f"Where Tenire keeps its ledger and store. Default: TENIRE_HOME, or {DEFAULT_HOME}.",
                rich_help_panel=_PANEL,
            ),
        ],
        None,
    ),
    "as_json": (
        Annotated[
            bool,
            typer.Option("--json", help="End stdout with one JSON object; errors too.", rich_help_panel=_PANEL),
        ],
        False,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=_PANEL)],
        False,
    ),
    "verbose": (
        Annotated[
            bool,
            typer.Option(
                "--verbose", help="Log what happens to stderr; show tracebacks of bugs.", rich_help_panel=_PANEL
            ),
        ],
        False,
    ),
    # Answered before the parser is even loaded; declared for --help.
    "version": (
        Annotated[bool, typer.Option("--version", help="Show the version and leave.", rich_help_panel=_PANEL)],
        False,
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The common options of one command.

    Attributes:
        home: The value of ``--home``, or ``None``.
        as_json: Whether the result is one JSON object.
        quiet: Whether to show no progress.
        verbose: Whether to log what happens.
    """

    home: str | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def output(self) -> Output:
        """Where the command prints."""
        return Output(as_json=self.as_json)

    def given_home(self) -> Path | None:
        """Return the home of ``--home`` or ``TENIRE_HOME``, or ``None`` without either.

        Raises:
            ConfigError: If it is empty or a file.
        """
        origin, home = (
            ("--home", self.home) if self.home is not None else ("TENIRE_HOME", os.environ.get("TENIRE_HOME"))
        )
        # An empty variable counts as unset, as in shells; an empty option is a mistake.
        if home is None or (home == "" and origin != "--home"):
            return None
        if not home.strip() or "\0" in home:
            raise ConfigError(f"{origin} must be a directory, got an empty text", key=origin)
        path = Path(home)
        if path.exists() and not path.is_dir():
            raise ConfigError(f'{origin} must be a directory, got the file "{home}"', key=origin)
        return path

    def home_path(self) -> Path:
        """Return the home that a command without a configuration file uses."""
        home = self.given_home()
        return home if home is not None else Path(DEFAULT_HOME)


def with_common(command: Callable[Concatenate[Settings, P], int]) -> Callable[..., int]:
    """Return a command for typer: the common options added, ``Settings`` filled in."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        entry.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[entry.name])
        for entry in list(inspect.signature(command).parameters.values())[1:]
    ]

    def call(*, context: typer.Context, **values: Any) -> int:
        given = {name: values.pop(name) for name in _OPTIONS}
        settings = _merged(context.obj or {}, given)
        if settings.verbose:
            _log_to_stderr()
        try:
            return command(settings, **values)  # type: ignore[call-arg] # typer passes what the signature names
        except KeyboardInterrupt:
            # Caught here: typer would turn it into a silent exit.
            return interrupted(settings.output)

    return _signed(call, command.__doc__, own)


def common_callback() -> Callable[..., int]:
    """Return the callback for the words before the command; it keeps the options for the command."""

    def call(*, context: typer.Context, **values: Any) -> int:
        if context.invoked_subcommand is None:
            raise ConfigError("expected a command", hint="see: tenire --help")
        context.obj = values
        return 0

    return _signed(call, None, [])


def _signed(call: Callable[..., int], doc: str | None, own: list[inspect.Parameter]) -> Callable[..., int]:
    """Give a function the signature that typer reads."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context), *own]
    parameters += [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]
    call.__doc__ = doc
    call.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    vars(call)["__signature__"] = inspect.Signature(parameters, return_annotation=int)
    return call


def _merged(before: dict[str, Any], after: dict[str, Any]) -> Settings:
    home = after["home"] if after["home"] is not None else before.get("home")
    flags = {name: bool(after[name] or before.get(name)) for name in ("as_json", "quiet", "verbose")}
    return Settings(home=home, **flags)


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("tenire").setLevel(logging.INFO)
