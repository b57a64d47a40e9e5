"""The public face: a name that leaves, or joins, changes this list on purpose."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from typing import TYPE_CHECKING

import pytest

import tenire

if TYPE_CHECKING:
    from .conftest import House

PUBLIC = [
    "CallError",
    "CancelToken",
    "CircuitOpenError",
    "ConcurrencyManager",
    "ConfigError",
    "DeadlockError",
    "DependencyError",
    "Explanation",
    "Handle",
    "InternalError",
    "ModelFileError",
    "Pipeline",
    "PipelineError",
    "PredictionError",
    "Priority",
    "RejectedError",
    "Resources",
    "Retry",
    "RunReport",
    "Snapshot",
    "Store",
    "StoreError",
    "TaskError",
    "TenireError",
    "__version__",
    "arun",
    "browser",
    "cancel_token",
    "guarded",
    "llm",
    "ml",
    "run",
    "stage",
    "vectors",
]

CONCURRENCY = {
    "AsyncTaskManager",
    "BatchInitializationGroup",
    "ConcurrencyManager",
    "DataManager",
    "EventLoopManager",
    "Orchestrator",
    "ThreadPoolManager",
    "UniversalTimer",
}
"""The components that the architecture names; they stay under these names."""


def test_the_public_names_are_these() -> None:
    assert tenire.__all__ == PUBLIC
    assert dir(tenire) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(tenire, name)
    if name != "__version__":
        assert inspect.getdoc(value)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        tenire.nonsense  # noqa: B018 - looking it up is the test


def test_the_components_of_the_architecture_have_their_names() -> None:
    concurrency = importlib.import_module("tenire.concurrency")
    assert set(concurrency.__all__) >= CONCURRENCY
    assert all(inspect.isclass(getattr(concurrency, name)) for name in CONCURRENCY)


def test_the_version_stands_in_one_more_place_and_is_the_same_there(house: House) -> None:
    project = tomllib.loads((house.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == tenire.__version__
