"""Many calls in one file, answered by the provider within a day, at half the price.

::

    requests ─► spool (a file in the home) ─► upload ─► batch at the provider ─► results ─► replies in the home

``provider`` says what a provider must be able to do, ``openai`` and ``anthropic`` do it in
their languages. ``spool`` keeps the lines until their batch has ended, ``journey`` takes one batch
from its file to its last reply, and ``desk`` all batches of a pipeline.
"""

from tenire.llm.batches.provider import BatchProvider, BatchView, LineResult, LostBatch

__all__ = ["BatchProvider", "BatchView", "LineResult", "LostBatch"]
