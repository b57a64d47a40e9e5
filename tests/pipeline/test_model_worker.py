"""The way to the model says what it is doing before the first text can go through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tenire.pipeline.model_worker import ModelWorker
from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Loading:
    """A task that ends when it is told to."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], object]] = []

    def submit(self, fn: object, *args: object, **options: object) -> Loading:
        return self

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def embed_here(texts: list[str]) -> Any:
    raise AssertionError(texts)


async def embed_there(texts: list[str]) -> Any:
    raise AssertionError(texts)


@pytest.mark.parametrize(("embed", "said"), [(embed_here, True), (embed_there, False)])
def test_a_model_that_is_loaded_here_is_told_until_it_is_there(embed: Any, said: bool) -> None:
    stage = StageProgress("embed")
    progress = PipelineProgress("p", stages=[stage])
    tasks = Loading()
    worker = ModelWorker(
        cast("Any", tasks), embed=embed, progress=progress, stage=stage, keep=cast("Any", None), clock=ManualClock(),
        tuning=cast("Any", None),
    )  # fmt: skip
    assert progress.doing == ""
    worker.warm_up()
    assert progress.doing.startswith("loading the model") is said
    tasks.end()
    assert progress.doing == ""
