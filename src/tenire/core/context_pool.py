"""Which context of a browser serves which page: contexts are used again, worn out and thrown away.

::

            ┌───────────── fit to be used again ──────────────┐
            ▼                                                 │
    idle ──lease──► leased ──give_back──► is it?  ── no ──► to be closed
      │                                                       ▲
      └────────────── worn, evicted, or lost ─────────────────┘

A *context* is one set of cookies with its page. A *generation* is one browser with the
driver that talks to it; both may die at any time, and all contexts with them.

1. At most ``size`` contexts are there, leased or idle; an idle one makes way for another session.
2. A context serves one lease at a time, and leases of one session only.
3. A context serves at most ``uses`` leases, and none that begins ``lifetime`` seconds or more
   after its first: browsers grow as long as a context lives.
4. A context of an earlier generation is never leased again.
5. However many notice that a generation is lost, the next begins once.
6. A generation serves at most ``wear`` leases; then the next begins by itself, and the old
   one is over once its last lease was given back.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ContextPool", "Lease"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use one context for one page.

    Attributes:
        context: The context's number; no other ever has the same.
        generation: The generation that it belongs to.
        session: Whose cookies it holds.
        fresh: Whether it has to be made.
        close: Idle contexts that make way for it, to be closed.
    """

    context: int
    generation: int
    session: str
    fresh: bool
    close: tuple[int, ...] = ()


@dataclass(slots=True)
class _Context:
    number: int
    session: str
    born_at: float
    uses: int = 0


class ContextPool:
    """Decides; whoever asks makes and closes the contexts.

    Args:
        size: Most contexts.
        uses: Most leases of one context.
        lifetime: Seconds after which a context is not leased any more.
        wear: Most leases of one generation.

    Attributes:
        generation: The generation that new leases are of, from 1.
    """

    def __init__(self, *, size: int, uses: int, lifetime: float, wear: int) -> None:
        self._size = size
        self._uses = uses
        self._lifetime = lifetime
        self._wear = wear
        self.generation = 1
        self._served = 0
        self._numbers = 0
        self._idle: dict[int, _Context] = {}  # the one that was used last stands last
        self._leased: dict[int, tuple[Lease, _Context]] = {}

    @property
    def leased(self) -> int:
        """Contexts that are leased."""
        return len(self._leased)

    @property
    def idle(self) -> int:
        """Contexts that are not."""
        return len(self._idle)

    def lease(self, session: str, now: float) -> Lease | None:
        """Lease a context.

        Args:
            session: Whose cookies are needed; an empty text for nobody's.
            now: Seconds on a clock that never goes back.

        Returns:
            The lease, or ``None`` while all places are leased.
        """
        if len(self._leased) >= self._size:
            return None
        close = self.worn(now)
        if self._served >= self._wear:
            close += self._next_generation()
        self._served += 1
        found = next((context for context in reversed(self._idle.values()) if context.session == session), None)
        fresh = found is None
        if found is None:
            if len(self._leased) + len(self._idle) >= self._size:
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                close += (oldest,)
            self._numbers += 1
            found = _Context(self._numbers, session, now)
        else:
            del self._idle[found.number]
        found.uses += 1
        lease = Lease(found.number, self.generation, session, fresh, close)
        self._leased[found.number] = (lease, found)
        return lease

    def give_back(self, lease: Lease, now: float, *, reusable: bool = True) -> bool:
        """Give a context back.

        Args:
            lease: What ``lease`` returned.
            now: Seconds on the same clock.
            reusable: Whether its page is in order.

        Returns:
            Whether it is kept. Otherwise it has to be closed.
        """
        _, context = self._leased.pop(lease.context)
        if not reusable or lease.generation != self.generation or self._is_worn(context, now):
            return False
        self._idle[context.number] = context
        return True

    def lost(self, generation: int) -> tuple[int, ...]:
        """Note that a browser or its driver is gone; return the idle contexts that went with it."""
        return self._next_generation() if generation == self.generation else ()

    def worn(self, now: float) -> tuple[int, ...]:
        """Take out the idle contexts that are too old, and return them: they have to be closed."""
        old = tuple(number for number, context in self._idle.items() if self._is_worn(context, now))
        for number in old:
            del self._idle[number]
        return old

    def is_over(self, generation: int) -> bool:
        """Return whether nothing uses a generation any more, and nothing ever will."""
        leased = (lease.generation for lease, _ in self._leased.values())
        return generation < self.generation and generation not in leased

    def _next_generation(self) -> tuple[int, ...]:
        gone = tuple(self._idle)
        self._idle.clear()
        self.generation += 1
        self._served = 0
        return gone

    def _is_worn(self, context: _Context, now: float) -> bool:
        return context.uses >= self._uses or now >= context.born_at + self._lifetime

    def check(self) -> None:
        """Verify the rules."""
        assert len(self._leased) + len(self._idle) <= self._size
        assert not self._leased.keys() & self._idle.keys()
        assert all(1 <= context.uses < self._uses for context in self._idle.values())
        assert all(1 <= context.uses <= self._uses for _, context in self._leased.values())
        assert all(lease.generation <= self.generation for lease, _ in self._leased.values())
        assert self._served <= self._wear
