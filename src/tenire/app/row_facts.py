"""What a home remembers of its pipelines of rows, so that ``retry`` can run them again.

Only where their configuration stands: prompts stay out of the ledger.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from tenire.pipeline.rows.kept import OUTPUT
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from tenire.app.config import Config
    from tenire.storage.home import Home

__all__ = ["own_outputs", "remember_rows", "remembered"]


def remember_rows(ledger: Ledger, config: Config, name: str) -> None:
    """Keep where the configuration of a pipeline of rows stands."""
    file = os.path.abspath(config.file) if config.file is not None else None
    text = json.dumps({"recipe": config.pipelines[name].recipe, "file": file}, sort_keys=True)
    if ledger.setting(f"pipeline:{name}") != text:
        ledger.remember(f"pipeline:{name}", text)


def remembered(ledger: Ledger, name: str) -> dict[str, Any]:
    """Return what is remembered of a pipeline of any recipe."""
    text = ledger.setting(f"pipeline:{name}")
    facts: dict[str, Any] = json.loads(text) if text else {}
    return facts


def own_outputs(home: Home, name: str) -> frozenset[str]:
    """Return the files that a pipeline of a home has written to; reads only.

    Raises:
        StoreError: If the ledger cannot be read.
    """
    if not Ledger.exists(home):
        return frozenset()
    with Ledger.read(home) as ledger:
        text = ledger.setting(f"{OUTPUT}{name}")
    return frozenset([json.loads(text)["path"]]) if text else frozenset()
