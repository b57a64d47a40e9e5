"""What a home remembers of its pipelines of rows, so that ``retry`` can run them again.

Only where their configuration stands: prompts stay out of the ledger.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.app.config import Config
    from tenire.storage.ledger import Ledger

__all__ = ["remember_rows", "remembered"]


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
