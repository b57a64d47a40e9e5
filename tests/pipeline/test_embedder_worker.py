"""What a task takes that goes to the embedder is known in one place."""

from __future__ import annotations

from typing import Any, cast

from tenire.core.tasks import Resources
from tenire.pipeline.embedder_worker import EMBEDDER, embedding_needs
from tenire.pipeline.run_tasks import RunTasks


class Engine:
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def submit(self, fn: object, *args: object, **options: Any) -> None:
        self.asked.append(options)


def test_whoever_goes_to_the_embedder_takes_what_that_needs() -> None:
    engine = Engine()
    tasks = RunTasks("p", cast("Any", engine))
    tasks.submit(len, "", step="embed", worker=EMBEDDER)
    tasks.submit(len, "", step="read", worker="another", needs=Resources(cpu=2))
    tasks.submit(len, "", step="read")
    assert [options.get("needs") for options in engine.asked] == [embedding_needs(), Resources(cpu=2), None]
    assert embedding_needs() == Resources(other={EMBEDDER: 1})
