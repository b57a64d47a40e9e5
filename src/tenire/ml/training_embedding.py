"""The texts of a training that this machine's model cannot embed: those that end its worker, or fail by themselves.

They are found by halves, as rows to be predicted are (``predicting``): a part of 256 texts
of which one is bad takes eight more looks. What is embedded on the way is not kept: the
rows are looked at again without the bad ones, and then make up other parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.ml.predicting import OF_ALL
from tenire.pipeline.embedder_worker import EMBEDDER, IF_KILLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.run_tasks import RunTasks

__all__ = ["PLACE", "without_vector"]

PLACE: dict[str, Any] = {"on": "process", "worker": EMBEDDER}
"""Where a model of this machine embeds: in the worker that all pipelines take turns at."""


async def without_vector(
    embed: Callable[[list[str]], Any], texts: list[str], error: Exception, tasks: RunTasks
) -> dict[str, str]:
    """Return which of some texts have no vector, each with the reason.

    Args:
        embed: Embeds texts, in a worker.
        texts: Those that could not be embedded together.
        error: Why.
        tasks: The run's way to the engine.

    Returns:
        Nothing if each of them has one by itself.

    Raises:
        TenireError: If the reason is no text's.
    """
    if len(texts) == 1:
        return {texts[0]: f"{type(error).__name__}: {error}"}
    middle, reasons = len(texts) // 2, dict[str, str]()
    for half in (texts[:middle], texts[middle:]):
        try:
            await tasks.submit(embed, half, step="embed", retry=IF_KILLED, **PLACE)
        except OF_ALL:
            raise
        except Exception as own:  # noqa: BLE001 - looked into, down to each text
            reasons |= await without_vector(embed, half, own, tasks)
    return reasons
