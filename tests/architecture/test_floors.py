from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import House


RUNTIME = "scripts/runtime_imports.toml"


@pytest.mark.parametrize("config", ["pyproject.toml", RUNTIME])
def test_every_contract_is_kept(house: House, config: str) -> None:
    result = house.lint_imports(config=config)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "where", "code"),
    [
        pytest.param("floors", "errors.py", "import tenire.core.tasks", id="a floor imports the one above"),
        pytest.param("floors", "core/tasks.py", "import tenire.storage", id="the core imports storage"),
        pytest.param("floors", "storage/__init__.py", "import tenire.observe", id="siblings import each other"),
        pytest.param("floors", "attic/__init__.py", "", id="a room that is on no floor"),
        pytest.param("pure-core", "core/tasks.py", "import asyncio", id="the core imports asyncio"),
        pytest.param("pure-core", "core/tasks.py", "import numpy", id="the core imports a package"),
        pytest.param("pure-core", "core/tasks.py", "import tenire.clock", id="the core reads the clock"),
        pytest.param(
            "pure-core", "core/tasks.py", "def late():\n    import sqlite3", id="the core imports inside a function"
        ),
        pytest.param(
            "pure-core", "errors.py", "import logging", id="the core imports logging by way of another module"
        ),
        pytest.param("testing-apart", "core/tasks.py", "import tenire.testing", id="product code imports testing"),
        pytest.param("entry-point-apart", "core/tasks.py", "import tenire.__main__", id="the entry point is imported"),
    ],
)
def test_a_planted_import_is_caught(copied_house: House, contract: str, where: str, code: str) -> None:
    copied_house.plant(where, code)
    result = copied_house.lint_imports(contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 broken" in result.stdout
    planted = where.removesuffix(".py").removesuffix("/__init__").rpartition("/")[2]
    assert planted in result.stdout.partition("Broken contracts")[2]


@pytest.mark.parametrize("late", [False, True], ids=["at the top", "inside a function"])
def test_a_planted_circle_is_caught(copied_house: House, late: bool) -> None:
    copied_house.plant("core/hen.py", "from tenire.core import egg")
    back = "from tenire.core import hen"
    copied_house.plant("core/egg.py", f"def hatch():\n    {back}" if late else back)
    result = copied_house.lint_imports("no-cycles", config=RUNTIME)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "hen" in result.stdout


def test_a_type_alone_makes_no_circle(copied_house: House) -> None:
    copied_house.plant("core/hen.py", "from tenire.core import egg")
    copied_house.plant("core/egg.py", "if TYPE_CHECKING:\n    from tenire.core import hen")
    assert "hen" not in copied_house.lint_imports("no-cycles", config=RUNTIME).stdout


def test_a_type_alone_still_belongs_to_its_floor(copied_house: House) -> None:
    copied_house.plant("core/tasks.py", "if TYPE_CHECKING:\n    import tenire.storage")
    assert copied_house.lint_imports("floors").returncode == 1
