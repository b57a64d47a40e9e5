"""The engine's end of the feed: pictures of it for who looks on, and never more than they can take.

1. Who looks on asks for the next picture, and asks again when it has used that: whoever
   is slow gets the latest one, and nothing ever queues up for it.
2. The engine is looked at only while somebody waits, for all of them together, and
   once in a period at the most. What did not change has the same number. Who asks for
   more than ten looks a second gets them as long as they take little of its loop's time.
   What people wait for, an event or what became of an order, is looked at as it happens.
3. Who waits hears something after ``HOLD_S`` in any case: that is how it knows that the
   engine lives.
4. Rates and curves are kept from all looks, whoever takes them: each face shows the same,
   and from its first frame on.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from tenire.app.feed.happened import Happened
from tenire.app.feed.rates import Curves, Rates
from tenire.app.feed.view import Rate, Sample
from tenire.app.publish import essence
from tenire.app.published import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.app.feed.happened import Happenings
    from tenire.app.published import Published
    from tenire.clock import Clock
    from tenire.concurrency.timer import UniversalTimer

__all__ = ["HOLD_S", "LEAST_PERIOD_S", "Pictures", "Told", "Watch"]

HOLD_S = 2.0
LEAST_PERIOD_S = 0.02
_LONGEST_PERIOD_S = 10.0
_CALM_PERIOD_S = 0.1
_SHARE = 0.02
"""Of the loop's time, for looks that come sooner than after a calm period."""
_SHARE_OF_EVENTS = 0.1
"""The same for those at what happens, however much that may be."""


class Watch(msgspec.Struct, frozen=True):
    """What ``watch`` takes.

    Attributes:
        engine: The engine of the last picture, or an empty text.
        number: Of the last picture.
        heard: Number of the last event.
        sampled: How many samples of its curves are known, with those that were there before.
        period: Seconds between two looks at the engine, at the least.
    """

    engine: str = ""
    number: int = 0
    heard: int = 0
    period: float = 0.1
    sampled: int = 0


class Told(msgspec.Struct, frozen=True):
    """What ``watch`` returns.

    Attributes:
        engine: Names the engine; each has another one.
        number: Of the picture; 0 before there was one.
        picture: A ``Published`` as text, or an empty text if it is the one that is known.
        events: Those after the last one.
        rates: How fast each pipeline is, by name.
        samples: Those of the curves after the last one that is known.
        sampled: How many there were of this engine.
    """

    engine: str
    number: int
    picture: str
    events: list[Happened]
    rates: dict[str, Rate] = {}
    samples: tuple[Sample, ...] = ()
    sampled: int = 0


class Pictures:
    """Hands pictures of one engine to any number of lookers-on; on its loop.

    Args:
        look: Looks at the engine.
        happenings: Its events.
        timer: Its timer.
        clock: Its clock.
    """

    def __init__(
        self, look: Callable[[], Published], happenings: Happenings, *, timer: UniversalTimer, clock: Clock
    ) -> None:
        self._engine = uuid.uuid4().hex
        self._look = look
        self._happenings = happenings
        self._timer = timer
        self._clock = clock
        self._rates = Rates()
        self._curves = Curves()
        self._now: dict[str, Rate] = {}
        self._looked_at = float("-inf")
        self._stirred = False
        self._news = asyncio.Event()
        # The least of the last ones counts: one that was held up by another thread was not dear.
        self._took: deque[float] = deque((0.0,), maxlen=3)
        self._essence: object = None
        self._text = ""
        self._number = 0
        self.looks = 0

    async def next(self, watch: Watch) -> Told:
        """Return the first picture or event that is newer than those that are known, or what there is after a while."""
        same = watch.engine == self._engine
        known, heard, sampled = (watch.number, watch.heard, watch.sampled) if same else (0, 0, 0)
        period = min(_LONGEST_PERIOD_S, max(LEAST_PERIOD_S, watch.period))
        until = self._clock.now() + HOLD_S
        while True:
            now = self._clock.now()
            if now >= self._look_at(period):
                self._renew(now)
            if self._number > known or self._happenings.number > heard or now >= until:
                text = self._text if self._number > known else ""
                events, curves = self._happenings.since(heard), self._curves
                # Also when nothing else is new: of an engine that is idle the curves go on.
                samples = curves.since(sampled)
                return Told(self._engine, self._number, text, events, self._now, samples, curves.number)
            await self._rest(min(until, self._look_at(period)))

    def stir(self) -> None:
        """Take in that something happened that people wait for: who looks on is told of it without delay."""
        self._stirred = True
        self._wake()

    async def _rest(self, until: float) -> None:
        """Wait until a time, or until something happens."""
        alarm = self._timer.at(until, self._wake)
        try:
            # With a timer that is closed it is refused there.
            await (self._news.wait() if alarm.active else self._timer.wait_until(until))
        finally:
            alarm.cancel()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def saw(self, published: Published) -> None:
        """Take in a look at the engine, of ``look`` or of anybody's."""
        now = self._clock.now()
        self._now = self._rates.update(published.pipelines, now=now)
        self._curves.update(published, self._now, now=now)

    def _look_at(self, period: float) -> float:
        least, share = (LEAST_PERIOD_S, _SHARE_OF_EVENTS) if self._stirred else (period, _SHARE)
        return self._looked_at + max(least, min(_CALM_PERIOD_S, min(self._took) / share))

    def _renew(self, now: float) -> None:
        self.looks += 1
        published = self._look()
        facts = essence(published)
        if facts != self._essence:
            self._essence = facts
            self._number += 1
            self._text = as_text(published)
        self._stirred = False  # what the look itself has found is told with it
        self._looked_at = self._clock.now()  # its end: the loop is left to others before the next one in any case
        self._took.append(self._looked_at - now)
