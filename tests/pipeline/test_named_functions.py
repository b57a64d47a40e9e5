"""Functions that a configuration names, found from any process."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tenire.errors import ConfigError
from tenire.pipeline.named_functions import NAMED_FUNCTION, load_function, located


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("named_by_a_test")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_function_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "named_by_a_test_1.py").write_text("class Rules:\n    @staticmethod\n    def ok(x): return x + 1\n")
    name = located(tmp_path, "named_by_a_test_1:Rules.ok")
    assert name == str(tmp_path / "named_by_a_test_1:Rules.ok")
    assert located(Path("/elsewhere"), name) == name
    assert load_function(name)(1) == 2


def test_what_is_installed_goes_before_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("loads = None\n")
    assert load_function(located(tmp_path, "json:loads"))("1") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:f", "there is no module no_such_module_here"),
        ("json.no_such_part:f", "there is no module json.no_such_part"),
        ("json:no_such_name", "got nothing of that name"),
        ("json:decoder.NaN", "got float decoder.NaN"),
        ("asyncio:sleep", "got the coroutine function sleep"),
        ("named_by_a_test_2:f", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_name_that_means_no_function_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "named_by_a_test_2.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_function(located(tmp_path, name))


@pytest.mark.parametrize("name", ["", "f", "a.b", "a:", ":f", "a b:f", "a:f:g", "../a:f", "a:1f"])
def test_other_texts_are_no_names_of_functions(name: str) -> None:
    assert re.fullmatch(NAMED_FUNCTION, name) is None
