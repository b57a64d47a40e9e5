from __future__ import annotations

import threading

import pytest

from tenire.vectors.aside import Aside


def test_it_runs_on_another_thread_while_this_one_goes_on() -> None:
    go = threading.Event()
    other = Aside(lambda: (go.wait(5), threading.get_ident()))
    go.set()
    assert other.result()[0]
    assert other.result()[1] != threading.get_ident()


def test_its_error_is_raised_where_the_result_is_asked_for() -> None:
    def fail() -> None:
        raise ValueError("no such key")

    with pytest.raises(ValueError, match="no such key"):
        Aside(fail).result()
