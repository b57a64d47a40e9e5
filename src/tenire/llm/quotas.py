"""The quotas of clients: who has one together, in this process and in all others.

1. One provider, one key and the same limits are one quota. Other limits are another one:
   providers count models apart, and what a user declares is all that tells which belong
   together.
2. Where nothing is declared there is nothing to share, and in virtual time nobody to
   share it with.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tenire.concurrency.quotas import Quota, QuotaSharing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.orchestrator import Orchestrator

__all__ = ["QuotaLease", "lease_quota", "make_quota"]


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
    manager: ConcurrencyManager, service: str, who: str, limits: Mapping[str, int | None], *, real_output: bool
) -> QuotaLease:
    """Return a part in the quota of this engine for a provider, a key and limits.

    Args:
        manager: The engine.
        service: What to call it.
        who: Provider and key, in a form that shows neither to anybody.
        limits: As for ``Quota``.
        real_output: Whether the provider counts the output that a reply had. Only there what
            was reserved and not used is given back.
    """
    orchestrator = manager.orchestrator
    known = _known.setdefault(orchestrator, {})
    key = who, real_output, tuple(sorted(limits.items()))
    if key not in known:
        name = _free_name(orchestrator, service)
        known[key] = _Shared(make_quota(manager, name, who, limits, real_output=real_output))
    return QuotaLease(known[key])


def make_quota(
    manager: ConcurrencyManager, name: str, who: str, limits: Mapping[str, int | None], *, real_output: bool
) -> Quota:
    """Return a new quota, which is one with those of other processes; see ``lease_quota``."""
    sharing = None
    if manager.orchestrator.in_real_time and any(limit is not None for limit in limits.values()):
        sharing = QuotaSharing(_identity(who, limits), timer=manager.timer)
    arguments: dict[str, Any] = dict(limits)
    refunded = ("output_tokens",) if real_output else ()
    return Quota(manager.orchestrator, name, **arguments, refunded=refunded, sharing=sharing)


def _identity(who: str, limits: Mapping[str, int | None]) -> str:
    declared = {name: limit for name, limit in sorted(limits.items()) if limit is not None}
    return hashlib.blake2b(f"tenire quota\0{who}\0{declared}".encode(), digest_size=16).hexdigest()


def _free_name(orchestrator: Orchestrator, service: str) -> str:
    admission = orchestrator.scheduler.admission
    names = itertools.chain([service], (f"{service} {number}" for number in itertools.count(2)))
    return next(name for name in names if admission.index_of(f"{name}/slots") is None)
