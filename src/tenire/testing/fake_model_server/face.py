"""What can be asked of a server, wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tenire.testing.fake_model_server.call_log import share_of_limit

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.call_log import CallRecord, ServerStatistics
    from tenire.testing.fake_model_server.settings import ServerSettings

__all__ = ["ServerFace"]


class ServerFace(ABC):
    """A server, in this process or in another.

    Attributes:
        settings: How it was set up.
    """

    settings: ServerSettings

    @abstractmethod
    def statistics(self) -> ServerStatistics:
        """Return what the calls so far add up to."""

    @abstractmethod
    def records(self) -> list[CallRecord]:
        """Return the calls that have ended, in the order in which they did."""

    def share(self, metric: str, *, since: float, until: float) -> float:
        """Return what was charged in a time, as a part of what the limit allows in that time.

        Args:
            metric: ``requests``, ``tokens``, ``input_tokens`` or ``output_tokens``.
            since: Seconds after the first call.
            until: Seconds after the first call.

        Raises:
            KeyError: If the metric has no limit.
        """
        limit = self.settings.limits()[metric]
        window = self.settings.window
        return share_of_limit(self.records(), metric, limit=limit, window=window, since=since, until=until)
