"""A server that fails and answers as it is told."""

from __future__ import annotations

import asyncio

__all__ = ["BusyError", "Server", "down"]


class Server:
    """Fails so often, then answers; takes so many seconds each time."""

    def __init__(self, *failures: Exception, seconds: float = 0.0) -> None:
        self.failures = list(failures)
        self.seconds = seconds
        self.times: list[float] = []
        self.inside = self.most = 0

    async def __call__(self, value: object = "answer") -> object:
        self.times.append(asyncio.get_running_loop().time())
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds)
            if self.failures:
                raise self.failures.pop(0)
            return value
        finally:
            self.inside -= 1


def down(number: int = 1) -> list[Exception]:
    return [ConnectionError(f"no connection ({place})") for place in range(number)]


class BusyError(Exception):
    status = 429

    def __init__(self, seconds: str) -> None:
        self.headers = {"retry-after": seconds}
