"""What the page can ask for, read strictly, and what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from tenire.errors import ChannelError, ConfigError, TenireError

if TYPE_CHECKING:
    from tenire.app.feed import Actions, Outcome

__all__ = ["MOST_BYTES", "Command", "carry_out", "read_command", "refusal"]

MOST_BYTES = 64 << 10

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    pass


class Pause(_Order, frozen=True, tag="pause"):
    """Start nothing more of a pipeline."""

    pipeline: _Name


class Resume(_Order, frozen=True, tag="resume"):
    """Go on with a pipeline."""

    pipeline: _Name


class Cancel(_Order, frozen=True, tag="cancel"):
    """End a pipeline."""

    pipeline: _Name


class End(_Order, frozen=True, tag="end"):
    """End pipelines, all of a run."""

    pipelines: Annotated[list[_Name], msgspec.Meta(max_length=1_000)]


class NewLevel(_Order, frozen=True, tag="priority"):
    """Move a pipeline to another level."""

    pipeline: _Name
    level: _Name


class NewShare(_Order, frozen=True, tag="weight"):
    """Give a pipeline another share."""

    pipeline: _Name
    weight: float


class Replay(_Order, frozen=True, tag="retry"):
    """Try entries of the quarantine again; ``None`` for all."""

    ids: list[_Name] | None


Command = Pause | Resume | Cancel | End | NewLevel | NewShare | Replay

_decoder = msgspec.json.Decoder(Command)


def read_command(body: bytes) -> Command:
    """Return what a body asks for.

    Raises:
        ConfigError: If it is none of the commands.
    """
    try:
        command: Command = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"expected a command such as {{'action': 'pause', 'pipeline': NAME}}, got something else: {error}"
        raise ConfigError(message, key="action") from error
    return command


async def carry_out(command: Command, actions: Actions) -> Outcome:
    """Do what was asked for.

    Raises:
        TenireError: If that is not possible.
    """
    match command:
        case Pause(pipeline):
            return await actions.pause(pipeline)
        case Resume(pipeline):
            return await actions.resume(pipeline)
        case Cancel(pipeline):
            return await actions.cancel(pipeline)
        case End(pipelines):
            return await actions.end(pipelines)
        case NewLevel(pipeline, level):
            return await actions.priority(pipeline, level)
        case NewShare(pipeline, weight):
            return await actions.weight(pipeline, weight)
        case Replay(ids):
            return await actions.retry(ids)


def refusal(error: TenireError) -> tuple[int, dict[str, Any]]:
    """Return status and body that tell an error."""
    status = 503 if isinstance(error, ChannelError) else 400 if isinstance(error, ConfigError) else 409
    return status, {"error": {"type": type(error).__name__, "message": str(error), "hint": error.hint}}
