"""``pause``, ``resume``, ``cancel`` and ``priority``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import ChannelError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import App, Run

    Tenire = Callable[..., Run]


@pytest.fixture
def asked(app: App, tmp_path: Path) -> list[Any]:
    """What the engine was asked, which does as it is told."""
    asked: list[Any] = []

    def ask(home: Any, operation: str, argument: Any, *, timeout: float) -> dict[str, Any]:
        assert timeout >= (60.0 if operation == "cancel" else 10.0), "a cancelled pipeline finishes its commit"
        asked.append((home.path, operation, argument))
        return {"pipeline": "docs", "state": "as told"}

    app.put("ask", ask=ask)
    (tmp_path / "h").mkdir()
    (tmp_path / "h/ledger.db").touch()
    return asked


@pytest.mark.parametrize(
    ("words", "argument", "shown"),
    [
        (("pause", "docs"), "docs", "pipeline docs is paused; to go on: tenire resume docs\n"),
        (("resume", "docs"), "docs", "pipeline docs goes on\n"),
        (("cancel", "docs"), "docs", "pipeline docs is cancelled; everything finished is kept\n"),
        (("priority", "docs", "HIGH"), {"pipeline": "docs", "level": "high"}, "pipeline docs has priority high now\n"),
    ],
)
def test_each_command_tells_the_engine_and_says_what_is_so_now(
    tenire: Tenire, asked: list[Any], tmp_path: Path, words: tuple[str, ...], argument: Any, shown: str
) -> None:
    done = tenire(*words, "--home", "h")
    assert (done.code, done.out, done.err) == (0, shown, "")
    assert asked == [(tmp_path / "h", words[0], argument)]
    assert tenire(*words, "--home", "h", "--json").last == {"pipeline": "docs", "state": "as told"}


@pytest.mark.parametrize(
    "words", [("pause",), ("cancel",), ("priority", "docs"), ("priority", "docs", "urgent"), ("pause", "a", "b")]
)
def test_words_that_are_missing_or_wrong_reach_no_engine(
    tenire: Tenire, asked: list[Any], words: tuple[str, ...]
) -> None:
    assert tenire(*words, "--home", "h").code == 2
    assert asked == []


def test_a_home_that_is_not_there_is_an_error_and_not_made(tenire: Tenire, tmp_path: Path) -> None:
    done = tenire("pause", "docs", "--home", "nowhere")
    assert done.code == 1
    assert "there is no home at" in done.err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("error", [ChannelError("no engine is running"), RejectedError("it is over")])
def test_without_an_engine_that_does_it_the_code_is_1(
    tenire: Tenire, app: App, asked: list[Any], error: Exception
) -> None:
    def ask(*_: Any, timeout: float) -> None:
        raise error

    app.put("ask", ask=ask)
    done = tenire("cancel", "docs", "--home", "h", "--json")
    assert done.code == 1
    assert done.last["error"]["type"] == type(error).__name__
