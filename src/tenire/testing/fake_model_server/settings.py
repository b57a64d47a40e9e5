"""What a fake model server is told: one record, checked before anything starts."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from tenire.testing.fake_model_server.chance import ServerFaults
from tenire.testing.fake_model_server.latency import latency
from tenire.testing.fake_model_server.meters import Enforcement

__all__ = ["HeaderDialect", "Outage", "ServerSettings", "checked_port"]

_LAST_PORT = 65_535

HeaderDialect = Literal["openai", "anthropic", "azure", "none"]


class Outage(msgspec.Struct, frozen=True, array_like=True):
    """A time in which every call fares alike.

    Attributes:
        at: When it begins, seconds after the first call.
        seconds: How long it lasts.
        kind: ``503``; ``429`` with a ``retry-after`` that ends with it; ``drop`` closes
            connections; ``hang`` never answers; ``slow`` takes ten times as long.
    """

    at: float
    seconds: float
    kind: Literal["503", "429", "drop", "hang", "slow"] = "503"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set; a limit that is ``None`` is not there.

    Attributes:
        rpm: Requests in a window.
        tpm: Tokens in a window, input and output together.
        input_tpm: Input tokens in a window.
        output_tpm: Output tokens in a window.
        window: Its length, seconds.
        enforcement: How it is counted: ``sliding``, ``fixed``, ``bucket`` or ``quantised``.
        quantum: Seconds by which ``quantised`` really counts.
        charge: What a call costs in output tokens: ``reserved``, the most that it asks for, when
            it arrives; or ``used``, what the reply really has, when it is sent.
        headers: How limits are told: as ``openai``, ``anthropic`` or ``azure`` does, or ``none``.
        retry_after: Whether a refusal says when to come again.
        latency: Seconds to the (first word of the) reply: a number, ``"uniform:LOW:HIGH"``,
            ``"exponential:MEAN"``, ``"lognormal:MEAN:SIGMA"``, ``"pareto:MEAN:ALPHA"``, or a
            function that turns a number between 0 and 1 into seconds.
        seconds_per_token: Seconds for each token of the reply, on top.
        slots: Calls that are worked on at the same time.
        overflow: What happens to a call without a slot: ``queue`` or ``reject`` (503).
        queue: Calls that may wait for a slot; further ones are rejected.
        faults: What goes wrong by chance.
        outages: What goes wrong for a time.
        poison: Prompts that always fail: a word in them, or a function of the prompt.
        poison_answer: How they fail: ``500``, ``400``, ``malformed``, ``hang``, or ``drop``,
            which closes the connection.
        models: Names that are known; any name if not given.
        api_key: The key that is asked for; any if not given.
        context: Most tokens of a prompt and its reply together.
        output_tokens: Fewest and most tokens of a reply that nobody limits.
        reasoning_tokens: Tokens of a reply that nobody sees, but everybody pays.
        cached_tokens: Tokens at the beginning of a prompt that are said to be cached.
        dimensions: Of an embedding whose request names none.
        most_inputs: Most texts of one embedding request.
        batch_seconds: Seconds that a batch takes.
        batch_expires: Seconds after which a batch expires with what it has; never if not given.
        batch_bytes: Most bytes of the file of a batch.
        batch_queue: Most lines of all batches that have not ended; one that goes beyond fails.
        seed: Decides what happens by chance.
        records: Most calls that are remembered one by one.
    """

    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    window: float = 60.0
    enforcement: Enforcement = "sliding"
    quantum: float = 1.0
    charge: Literal["reserved", "used"] = "reserved"
    headers: HeaderDialect = "openai"
    retry_after: bool = True
    latency: Any = 0.0
    seconds_per_token: float = 0.0
    slots: int | None = None
    overflow: Literal["queue", "reject"] = "queue"
    queue: int | None = None
    faults: ServerFaults = ServerFaults()
    outages: tuple[Outage, ...] = ()
    poison: Any = None
    poison_answer: Literal["500", "400", "malformed", "hang", "drop"] = "500"
    models: tuple[str, ...] | None = None
    api_key: str | None = None
    context: int = 128_000
    output_tokens: tuple[int, int] = (8, 64)
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    dimensions: int = 64
    most_inputs: int = 2048
    batch_seconds: float = 1.0
    batch_expires: float | None = None
    batch_bytes: int | None = None
    batch_queue: int | None = None
    seed: int = 0
    records: int = 1_000_000

    @classmethod
    def of(cls, **values: Any) -> ServerSettings:
        """Return checked settings.

        Raises:
            ValueError: If a name is unknown, or a value has the wrong type or is impossible.
        """
        apart = {name: values.pop(name) for name in ("faults", "latency", "poison") if name in values}
        if isinstance(apart.get("faults"), dict):
            apart["faults"] = msgspec.convert(apart["faults"], ServerFaults)
        # Functions, and records that are made already, are no plain data to convert.
        plain = msgspec.convert(msgspec.to_builtins(values), cls)
        return msgspec.structs.replace(plain, **apart)

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            ValueError: If a value is impossible; it says which and why.
        """
        counts = ("slots", "context", "dimensions", "most_inputs", "batch_bytes", "batch_queue")
        for name in ("rpm", "tpm", "input_tpm", "output_tpm", *counts):
            value = getattr(self, name)
            _need(value is None or value >= 1, name, "a whole number from 1", value)
        for name in ("queue", "records", "reasoning_tokens", "cached_tokens"):
            value = getattr(self, name)
            _need(value is None or value >= 0, name, "a whole number from 0", value)
        for name in ("window", "quantum", "batch_seconds", "batch_expires"):
            value = getattr(self, name)
            possible = value is None or (math.isfinite(value) and value > 0)
            _need(possible, name, "a positive number of seconds", value)
        each = self.seconds_per_token
        _need(math.isfinite(each) and each >= 0, "seconds_per_token", "a number of seconds from 0", each)
        low, high = self.output_tokens
        _need(1 <= low <= high, "output_tokens", "two numbers, 1 <= LOW <= HIGH", self.output_tokens)
        for outage in self.outages:
            possible = outage.at >= 0 and outage.seconds > 0
            _need(possible, "outages", "(starts at >= 0, seconds > 0, kind)", outage)
        marked = self.poison is None or callable(self.poison) or (isinstance(self.poison, str) and self.poison)
        _need(bool(marked), "poison", "a word or a function of the prompt", self.poison)
        latency(self.latency)

    def limits(self) -> dict[str, int]:
        """Return the limits that are set, by metric."""
        every = {
            "requests": self.rpm,
            "tokens": self.tpm,
            "input_tokens": self.input_tpm,
            "output_tokens": self.output_tpm,
        }
        return {name: limit for name, limit in every.items() if limit is not None}

    def outage_at(self, seconds: float) -> Outage | None:
        """Return the outage at a moment, seconds after the first call, or ``None``."""
        for outage in self.outages:
            if outage.at <= seconds < outage.at + outage.seconds:
                return outage
        return None


def checked_port(port: int) -> int:
    """Return a port that a server can listen at.

    Raises:
        ValueError: If there is no such port.
    """
    whole = isinstance(port, int) and not isinstance(port, bool)
    _need(whole and 0 <= port <= _LAST_PORT, "port", f"a whole number from 0 (any free one) to {_LAST_PORT}", port)
    return port


def _need(possible: bool, name: str, expected: str, value: object) -> None:
    if not possible:
        msg = f"{name} must be {expected}, got {value!r}"
        raise ValueError(msg)
