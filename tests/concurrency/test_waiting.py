"""Waiting for locks, on whatever thread."""

from __future__ import annotations

import threading
from _thread import allocate_lock

import pytest

from tenire.concurrency.waiting import acquire, wait_set


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 1e9, 1, 0, -1, None])
def test_any_number_of_seconds_is_waited_for_on_any_thread(timeout: float | None) -> None:
    came: list[bool] = []

    def wait() -> None:
        event = threading.Event()
        event.set()
        came.extend([acquire(allocate_lock(), timeout), wait_set(event, timeout)])

    wait()
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(10)
    assert came == [True] * 4
