"""Faults on purpose: at a named point, at the n-th time or by chance.

Product code knows nothing of this. A test makes points by wrapping a function,
by patching an attribute, or by calling ``hit`` in a fake of its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["FaultNeverFiredError", "Faults", "FiredFault"]

_NOTE = "injected at "

F = TypeVar("F", bound="Callable[..., Any]")


class FaultNeverFiredError(AssertionError):
    """A planned fault was not reached: the test did not test what it says."""


class _Movable(Protocol):
    def step_wall(self, seconds: float) -> None: ...


class FiredFault(NamedTuple):
    """A fault that happened.

    Attributes:
        point: The point's name.
        nth: Which visit of that point it was, from 1.
        action: What was done, in words.
    """

    point: str
    nth: int
    action: str


@dataclass(slots=True)
class _Rule:
    point: str
    nth: int | None
    chance: float
    raise_: BaseException | type[BaseException] | None
    delay: float
    step: float
    fired: int = 0

    def __str__(self) -> str:
        when = f"visit {self.nth}" if self.nth is not None else f"chance {self.chance:g}"
        return f"{self.point} ({when})"

    def action(self) -> str:
        parts = [f"delay {self.delay:g} s"] if self.delay else []
        parts += [f"wall clock stepped by {self.step:g} s"] if self.step else []
        parts += [f"raised {self.raise_!r}"] if self.raise_ is not None else []
        return ", ".join(parts)


class Faults:
    """A plan of faults. The same seed and the same visits give the same faults.

    Example:
        >>> faults = Faults(seed=7)
        >>> faults.at("ledger.commit", nth=2, raise_=OSError("disk full"))
        >>> commit = faults.wrap("ledger.commit", lambda: "stored")
        >>> with faults:
        ...     print(commit())
        ...     try:
        ...         commit()
        ...     except OSError as error:
        ...         print(error, error.__notes__)
        stored
        disk full ["injected at 'ledger.commit', visit 2, by Faults(seed=7)"]
    """

    def __init__(self, seed: int = 0, *, clock: _Movable | None = None, strict: bool = True) -> None:
        """Start with an empty plan.

        Args:
            seed: Decides what happens by chance.
            clock: The ``ManualClock`` or ``loop.clock`` that delays and clock steps act on.
            strict: Whether leaving the ``with`` block fails if a fault planned
                with ``at`` never happened.
        """
        self.seed = seed
        self._clock = clock
        self._strict = strict
        self._rules: list[_Rule] = []
        self._visits: Counter[str] = Counter()
        self._fired: list[FiredFault] = []
        self._patched: list[tuple[Any, str, Any, bool]] = []
        self._chances: dict[str, random.Random] = {}

    def at(
        self,
        point: str,
        *,
        nth: int = 1,
        raise_: BaseException | type[BaseException] | None = None,
        delay: float = 0.0,
        step: float = 0.0,
    ) -> None:
        """Plan a fault for the ``nth`` visit of a point.

        Args:
            point: The point's name.
            nth: Which visit, from 1.
            raise_: The exception to raise.
            delay: Seconds that pass first, on virtual time or on a manual clock.
            step: Seconds by which the wall clock is stepped first.

        Raises:
            ValueError: If the fault does nothing, or ``nth`` or ``delay`` is impossible.
        """
        if nth < 1:
            msg = f"visits count from 1, got nth={nth!r}"
            raise ValueError(msg)
        self._plan(_Rule(point, nth, 1.0, raise_, delay, step))

    def probability(
        self,
        point: str,
        chance: float,
        *,
        raise_: BaseException | type[BaseException] | None = None,
        delay: float = 0.0,
        step: float = 0.0,
    ) -> None:
        """Plan a fault that happens at each visit with probability ``chance`` (0 … 1).

        Raises:
            ValueError: If the fault does nothing, or ``chance`` or ``delay`` is impossible.
        """
        if not 0 <= chance <= 1:
            msg = f"a probability lies within 0 … 1, got {chance!r}"
            raise ValueError(msg)
        self._plan(_Rule(point, None, chance, raise_, delay, step))

    def hit(self, point: str) -> None:
        """Visit a point from plain code.

        Raises:
            RuntimeError: If a delay is due, and there is no manual clock to advance.
        """
        visit, due = self._due(point)
        for rule in due:
            if rule.delay:
                advance = getattr(self._clock, "advance", None)
                if advance is None:
                    msg = f"a delay at {point!r} in plain code needs Faults(clock=ManualClock(…))"
                    raise RuntimeError(msg)
                advance(rule.delay)
            self._strike(rule, visit)

    async def reach(self, point: str) -> None:
        """Visit a point from a coroutine; a delay waits on the running loop."""
        visit, due = self._due(point)
        for rule in due:
            if rule.delay:
                await asyncio.sleep(rule.delay)
            self._strike(rule, visit)

    def wrap(self, point: str, function: F, *, after: bool = False) -> F:
        """Return ``function`` with a point in front of it.

        Args:
            point: The point's name.
            function: A plain or a coroutine function.
            after: Put the point behind it: the work is done, its answer is lost.
        """
        wrapped: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                if not after:
                    await self.reach(point)
                result = await function(*args, **kwargs)
                if after:
                    await self.reach(point)
                return result
        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                if not after:
                    self.hit(point)
                result = function(*args, **kwargs)
                if after:
                    self.hit(point)
                return result

        return wrapped  # type: ignore[no-any-return]

    def patch(self, target: Any, attribute: str, *, point: str | None = None, after: bool = False) -> None:
        """Put a point into an attribute of an object until the ``with`` block ends.

        Args:
            target: The object, class or module.
            attribute: The name of a function or method.
            point: The point's name; the attribute's own name by default.
            after: As for ``wrap``.
        """
        own = attribute in vars(target) if hasattr(target, "__dict__") else False
        original = vars(target)[attribute] if own else getattr(target, attribute)
        self._patched.append((target, attribute, original, own))
        if isinstance(original, staticmethod | classmethod):
            replacement: Any = type(original)(self.wrap(point or attribute, original.__func__, after=after))
        else:
            replacement = self.wrap(point or attribute, original, after=after)
        setattr(target, attribute, replacement)

    @property
    def reached(self) -> Mapping[str, int]:
        """How often each point was visited."""
        return dict(self._visits)

    @property
    def fired(self) -> tuple[FiredFault, ...]:
        """The faults that happened, in order."""
        return tuple(self._fired)

    def report(self) -> str:
        """Return which points were reached and what happened there, as text."""
        lines = [f"Faults(seed={self.seed})"]
        lines += [f"  reached {point} × {count}" for point, count in sorted(self._visits.items())]
        lines += [f"  fired at {fault.point}, visit {fault.nth}: {fault.action}" for fault in self._fired]
        lines += [f"  never fired: {rule}" for rule in self._rules if not rule.fired]
        return "\n".join(lines)

    def __enter__(self) -> Self:
        """Enter; patches made before or inside end with the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the patches back.

        Raises:
            FaultNeverFiredError: If strict, and a fault planned with ``at`` never happened.
        """
        while self._patched:
            target, attribute, original, own = self._patched.pop()
            if own:
                setattr(target, attribute, original)
            else:
                delattr(target, attribute)
        if error is not None:
            error.add_note(self.report())
        elif self._strict and any(rule.nth is not None and not rule.fired for rule in self._rules):
            raise FaultNeverFiredError(self.report())

    def _plan(self, rule: _Rule) -> None:
        if rule.delay < 0:
            msg = f"a delay cannot be negative, got {rule.delay!r}"
            raise ValueError(msg)
        if rule.raise_ is None and not rule.delay and not rule.step:
            msg = f"the fault at {rule.point!r} does nothing: give raise_, delay or step"
            raise ValueError(msg)
        if rule.step and self._clock is None:
            msg = f"the clock step at {rule.point!r} needs Faults(clock=…)"
            raise ValueError(msg)
        self._rules.append(rule)

    def _due(self, point: str) -> tuple[int, list[_Rule]]:
        self._visits[point] += 1
        visit = self._visits[point]
        # One stream of chances a point: visits of one point never change what
        # happens at another.
        rng = self._chances.setdefault(point, random.Random(f"{self.seed}/{point}"))
        due = []
        for rule in self._rules:
            if rule.point != point:
                continue
            if rule.nth == visit or (rule.nth is None and rng.random() < rule.chance):
                rule.fired += 1
                self._fired.append(FiredFault(point, visit, rule.action()))
                due.append(rule)
        return visit, due

    def _strike(self, rule: _Rule, visit: int) -> None:
        if rule.step and self._clock is not None:
            self._clock.step_wall(rule.step)
        if rule.raise_ is not None:
            error = rule.raise_() if isinstance(rule.raise_, type) else rule.raise_.with_traceback(None)
            # An instance may be raised more than once: only its latest visit is told.
            notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith(_NOTE)]
            error.__notes__ = [*notes, f"{_NOTE}{rule.point!r}, visit {visit}, by Faults(seed={self.seed})"]
            raise error
