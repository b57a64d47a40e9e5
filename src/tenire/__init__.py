"""Tenire runs data and AI pipelines side by side on the computer you own.

The house, from the ground up; a floor imports only from the floors below it::

    errors                               one tree
    clock · protocols                    the door to time; what domains implement
    core                                 pure decisions
    storage · observe                    ledger, compression; facts on the machine
    concurrency                          the engine around the core
    resilience                           calls that may fail
    pipeline                             sources, journal, recovery, progress
    documents · vectors · llm ·          the domains
      ml · browser
    app                                  configuration, recipes, runs, search
    dashboard · gui                      a page and a window on a running engine
    cli                                  the commands

Names below are loaded when they are first used: importing ``tenire`` costs a few
milliseconds and brings in no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire import browser, llm, ml, vectors
    from tenire.app.pipelines import Pipeline, arun, run
    from tenire.app.search import Store
    from tenire.concurrency import CancelToken, ConcurrencyManager, Explanation, Handle, Snapshot, cancel_token
    from tenire.core.tasks import Priority, Resources, Retry
    from tenire.errors import (
        CallError,
        CircuitOpenError,
        ConfigError,
        DeadlockError,
        DependencyError,
        InternalError,
        ModelFileError,
        PipelineError,
        PredictionError,
        RejectedError,
        StoreError,
        TaskError,
        TenireError,
    )
    from tenire.pipeline.progress import RunReport
    from tenire.pipeline.stages.stage import stage
    from tenire.resilience import guarded

__version__ = "0.1.0"

_HOMES = {
    "CallError": "tenire.errors",
    "CancelToken": "tenire.concurrency",
    "CircuitOpenError": "tenire.errors",
    "ConcurrencyManager": "tenire.concurrency",
    "ConfigError": "tenire.errors",
    "DeadlockError": "tenire.errors",
    "DependencyError": "tenire.errors",
    "Explanation": "tenire.concurrency",
    "Handle": "tenire.concurrency",
    "InternalError": "tenire.errors",
    "ModelFileError": "tenire.errors",
    "Pipeline": "tenire.app.pipelines",
    "PipelineError": "tenire.errors",
    "PredictionError": "tenire.errors",
    "Priority": "tenire.core.tasks",
    "RejectedError": "tenire.errors",
    "Resources": "tenire.core.tasks",
    "Retry": "tenire.core.tasks",
    "RunReport": "tenire.pipeline.progress",
    "Snapshot": "tenire.concurrency",
    "Store": "tenire.app.search",
    "StoreError": "tenire.errors",
    "TaskError": "tenire.errors",
    "TenireError": "tenire.errors",
    "arun": "tenire.app.pipelines",
    "browser": "",
    "cancel_token": "tenire.concurrency",
    "guarded": "tenire.resilience",
    "llm": "",
    "ml": "",
    "run": "tenire.app.pipelines",
    "stage": "tenire.pipeline.stages.stage",
    "vectors": "",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'tenire' has no attribute {name!r}"
        raise AttributeError(message)
    value = importlib.import_module(f"tenire.{name}") if not home else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
