"""The one feed and the one set of actions of everything that shows a running engine.

The window (``tenire gui``), the page (``tenire dashboard``) and the terminal
(``tenire top``) show what ``Feed.view`` holds and do what ``Feed.actions`` offers::

    async with Feed(home) as feed:      # finds the engine, also one that starts later
        async for view in feed:         # the latest View; one that is slow skips some
            show(view)
        await feed.actions.pause("docs")

``Feed`` runs on any asyncio loop, in any process of the same user. It asks the engine
over its control channel (``pictures`` is the engine's end) and reads the ledger for what
the home holds. ``view`` is frozen and may be read from any thread; ``on_view`` is called
on the feed's loop for each new one, ten times a second at the most by default.
"""

from __future__ import annotations

from tenire.app.feed.actions import LEVELS, Actions, Outcome
from tenire.app.feed.feed import Feed
from tenire.app.feed.happened import Happened
from tenire.app.feed.view import Quarantined, Rate, Sample, View

__all__ = ["LEVELS", "Actions", "Feed", "Happened", "Outcome", "Quarantined", "Rate", "Sample", "View"]
