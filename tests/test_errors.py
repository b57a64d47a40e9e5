"""What to do about an error is said wherever it is seen."""

from __future__ import annotations

import copy
import pickle
import traceback

from tenire.errors import ConfigError, HomeBusyError


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_error_that_nobody_catches_says_what_to_do() -> None:
    error = ConfigError("cpu must be positive, got 0", key="cpu", hint="leave it out for all cores")
    assert shown(error).endswith("got 0\nhint: leave it out for all cores\n")
    assert "hint" not in shown(ConfigError("cpu must be positive, got 0"))
    assert str(error) == "cpu must be positive, got 0"


def test_an_error_is_the_same_after_a_journey_through_a_process() -> None:
    error = HomeBusyError("the home is in use", pid=42, hint="wait for it")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (other.pid, other.hint) == (42, "wait for it")
        assert shown(other) == shown(error)
        assert shown(other).count("hint:") == 1
