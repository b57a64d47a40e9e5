"""The quotas of clients: who has one together, in this process and in all others.

1. One provider, one key and one *group* are one quota. A group is what the provider counts
   together: some models or all. Who declares it by name has it with all who name it the
   same, whatever limits each of them declares: each keeps all of them within its own, and
   within those of others where it has none.
2. Without a name the same limits are one group, and other limits another one. Rates are,
   that is: programs with the same ones share them, whatever ``max_concurrency`` each has,
   and those where that is the same share the calls at a time. Models that are counted apart
   and have equal limits so share one of them: too little is used, and nothing refused.
3. Where nothing is declared there is nothing to share, and in virtual time nobody to
   share it with.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from tenire.concurrency.quotas import Quota, QuotaSharing
from tenire.concurrency.submit import amount_of
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.orchestrator import Orchestrator

__all__ = [
    "COUNTS_OUTPUT",
    "Counting",
    "QuotaLease",
    "check_group",
    "counting",
    "lease_quota",
    "limits_of",
    "make_quota",
]

COUNTS_OUTPUT = ("reserved", "real")
"""How a provider may count the output of calls; see ``counting``."""

_METRICS = {"rpm": "requests", "tpm": "tokens", "input_tpm": "input_tokens", "output_tpm": "output_tokens"}
_WITH_OUTPUT = ("tokens", "output_tokens")


class Counting(NamedTuple):
    """How a provider counts output; as for ``Quota``."""

    refunded: tuple[str, ...]
    watched: tuple[str, ...]


def counting(declared: str | None, dialect: Any) -> Counting:
    """Return how a provider counts output, as far as is known before a call.

    Args:
        declared: ``reserved``, if it counts the most that a call asks for; ``real``, if it counts
            what a reply had; ``None``, if that is to be found out.
        dialect: That it speaks, or ``None``.

    Raises:
        ConfigError: If it is declared to be something else.
    """
    if declared is None:
        refunded = ("output_tokens",) if getattr(dialect, "counts_real_output", False) else ()
        return Counting(refunded, tuple(metric for metric in _WITH_OUTPUT if metric not in refunded))
    if declared not in COUNTS_OUTPUT:
        message = f'counts_output must be "reserved" or "real", got {declared!r}'
        raise ConfigError(message, key="counts_output", hint="leave it out, and it is found out")
    return Counting(_WITH_OUTPUT if declared == "real" else (), ())


def check_group(group: str | None) -> None:
    """Refuse what is no name of a group.

    Raises:
        ConfigError: If it is no text, or an empty one.
    """
    if group is not None and (not isinstance(group, str) or not group):
        message = f"group must be the name of what the provider counts together, got {group!r}"
        raise ConfigError(message, key="group", hint="leave it out, and the same limits are one group")


def limits_of(**given: int | None) -> dict[str, int | None]:
    """Return what a client's limits are to a quota.

    Args:
        **given: ``rpm``, ``tpm``, ``input_tpm``, ``output_tpm`` and ``max_concurrency``.

    Raises:
        ConfigError: If one is impossible; by the name under which it was given.
    """
    for name, limit in given.items():
        if limit is not None:
            amount_of(name, limit, least=1)
    return {_METRICS.get(name, name): limit for name, limit in given.items()}


@dataclass(slots=True)
class _Shared:
    quota: Quota
    users: int = 0


_known: WeakKeyDictionary[Orchestrator, dict[Any, _Shared]] = WeakKeyDictionary()


class QuotaLease:
    """One client's part in a quota of its engine.

    Attributes:
        quota: The quota.
    """

    __slots__ = ("_shared", "quota")

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self.quota = shared.quota
        shared.users += 1

    async def aclose(self) -> None:
        """Leave it; the last one gives back what other processes may use."""
        self._shared.users -= 1
        if not self._shared.users:
            await self.quota.aclose()


def lease_quota(
    manager: ConcurrencyManager,
    service: str,
    who: str,
    limits: Mapping[str, int | None],
    output: Counting,
    group: str | None = None,
) -> QuotaLease:
    """Return a part in the quota of this engine for a provider, a key, a group and limits.

    Args:
        manager: The engine.
        service: What to call it.
        who: Provider and key, in a form that shows neither to anybody.
        limits: As for ``Quota``.
        output: How the provider counts output. What was reserved and not used is given back only
            where it counts what a reply had.
        group: The name of what the provider counts together, or ``None``; see above.
    """
    orchestrator = manager.orchestrator
    known = _known.setdefault(orchestrator, {})
    key = who, group, output, tuple(sorted(limits.items()))
    if key not in known:
        name = _free_name(orchestrator, service)
        known[key] = _Shared(make_quota(manager, name, who, limits, output, group))
    return QuotaLease(known[key])


def make_quota(
    manager: ConcurrencyManager,
    name: str,
    who: str,
    limits: Mapping[str, int | None],
    output: Counting,
    group: str | None = None,
) -> Quota:
    """Return a new quota, which is one with those of other processes; see ``lease_quota``."""
    sharing = None
    declared = group is not None or any(limit is not None for limit in limits.values())
    if declared and manager.orchestrator.in_real_time:
        sharing = QuotaSharing(_identity(who, limits, group), timer=manager.timer, every=group is not None)
    arguments: dict[str, Any] = dict(limits)
    return Quota(manager.orchestrator, name, **arguments, **output._asdict(), sharing=sharing)


def _identity(who: str, limits: Mapping[str, int | None], group: str | None) -> str:
    declared = {name: limit for name, limit in sorted(limits.items()) if limit is not None}
    if len(declared) > 1:
        declared.pop("max_concurrency", None)  # who calls more at a time spends the same requests and tokens
    counted = str(declared) if group is None else f"group\0{group}"
    return hashlib.blake2b(f"tenire quota\0{who}\0{counted}".encode(), digest_size=16).hexdigest()


def _free_name(orchestrator: Orchestrator, service: str) -> str:
    admission = orchestrator.scheduler.admission
    names = itertools.chain([service], (f"{service} {number}" for number in itertools.count(2)))
    return next(name for name in names if admission.index_of(f"{name}/slots") is None)
