from __future__ import annotations

import gc
import math
import sys
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import jobs, process_jobs

from tenire import ConfigError
from tenire.concurrency import sendable
from tenire.concurrency.sendable import check_sendable, reference_to

if TYPE_CHECKING:
    from collections.abc import Callable


class Chunk:
    """Counts how often one is pickled."""

    pickled = 0

    def __reduce__(self) -> tuple[Any, ...]:
        Chunk.pickled += 1
        return bytes, (8192,), None

    def __call__(self) -> None:
        """Do nothing."""


class Large:
    def __init__(self, chunks: int) -> None:
        self.chunks = [(Chunk(), b"x" * 8192) for _ in range(chunks)]

    def work(self) -> None:
        """Do nothing."""


class Mending:
    """Cannot be pickled until it is mended."""

    mended = False

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.mended:
            message = "broken"
            raise TypeError(message)
        return Mending, ()

    def __call__(self) -> None:
        """Do nothing."""


def hidden() -> None:
    """Do nothing."""


def _shadow() -> Callable[[], None]:
    def hidden() -> None:
        """Do nothing."""

    hidden.__qualname__ = "hidden"
    return hidden


def local() -> Callable[[], None]:
    def inner() -> None:
        """Do nothing."""

    return inner


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda: None, ["function tests.concurrency.test_sendable.<lambda>", "a lambda has no name"]),
        (local(), ["local.<locals>.inner", "defined inside another function"]),
        (process_jobs.Locked().work, ["method 'Locked.work'", "of type Locked", "lock"]),
        (partial(lambda x: x, 1), ["the partial object", "lambda"]),
        (_shadow(), ["test_sendable.hidden", "not the same object"]),
        (Mending(), ["the Mending object", "broken"]),
    ],
)
def test_a_function_that_no_process_could_load_is_refused_by_name_and_reason(
    fn: Callable[..., Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_sendable(fn)
    assert caught.value.key == "fn"
    assert "cannot be sent to a worker process" in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.hint is not None
    assert 'on="thread"' in caught.value.hint


@pytest.mark.parametrize("fn", [jobs.square, len, math.sqrt, int, process_jobs.Point])
def test_what_a_module_holds_travels_as_a_reference(fn: Callable[..., Any]) -> None:
    reference = reference_to(fn)
    assert reference
    assert len(reference) < 100
    assert reference_to(fn) is reference


@pytest.mark.parametrize(
    "fn", [process_jobs.Point(1, 2).moved, partial(jobs.square, 2), [].append, Chunk(), Large.work.__get__(Large(1))]
)
def test_what_carries_an_object_is_more_than_a_reference(fn: Callable[..., Any]) -> None:
    assert reference_to(fn) == b""


def test_a_large_object_is_looked_at_only_until_it_is_clear_that_it_is_large() -> None:
    Chunk.pickled = 0
    check_sendable(Large(1000).work)
    assert 0 < Chunk.pickled < 20


def test_an_object_is_looked_at_once() -> None:
    chunk, large = Chunk(), Large(1)
    Chunk.pickled = 0
    for _ in range(3):
        check_sendable(chunk)
        check_sendable(large.work)
    assert Chunk.pickled == 2


def test_what_was_found_is_forgotten_with_its_function() -> None:
    fn, large = partial(jobs.square, 2), Large(1)
    check_sendable(fn)
    check_sendable(large.work)
    assert id(fn) in sendable._known
    assert id(large) in sendable._known_owners
    before = len(sendable._known), len(sendable._known_owners)
    del fn, large
    gc.collect()
    assert (len(sendable._known), len(sendable._known_owners)) < before


def test_a_refusal_is_not_remembered() -> None:
    mending = Mending()
    with pytest.raises(ConfigError):
        check_sendable(mending)
    mending.mended = True
    check_sendable(mending)


@pytest.mark.parametrize("how", ["function", "partial", "method", "class"])
def test_what_was_typed_in_is_refused(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    main = ModuleType("__main__")
    source = "class Typed:\n    def work(self): ...\ndef typed(): ..."
    exec(source, main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    ways = {
        "function": main.typed,
        "partial": partial(partial(main.typed), 1),
        "method": main.Typed().work,
        "class": main.Typed,
    }
    with pytest.raises(ConfigError, match="interactive session") as caught:
        check_sendable(ways[how])
    assert caught.value.hint is not None
    assert "module" in caught.value.hint


def test_a_main_script_or_module_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    exec("def typed(): ...", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.__file__ = "<stdin>"
    with pytest.raises(ConfigError):
        check_sendable(main.typed)
    main.__file__ = __file__
    check_sendable(main.typed)
    exec("def other(): ...", main.__dict__)
    main.__file__ = None
    main.__spec__ = sys.modules["tests.concurrency.jobs"].__spec__
    check_sendable(main.other)
