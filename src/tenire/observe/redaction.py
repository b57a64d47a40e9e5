"""Takes out of a text what could be a key.

1. The values of environment variables that are named like a secret are taken out
   wherever they stand.
2. So is what looks like a key: known prefixes, values behind words such as ``token``,
   names and passwords in addresses, and long runs of letters mixed with digits.
3. A text is one line of ``LONGEST`` characters at the most.

This is the second line of defence. The first is that texts of users (prompts,
documents, messages of exceptions, which may quote either) are not handed in at all.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST", "REDACTED", "Redaction"]

LONGEST = 200
REDACTED = "[redacted]"

_LOOKED_AT = 8 * LONGEST
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|DSN)(_|\Z)", re.IGNORECASE)
_SHORTEST_SECRET = 6
_PATTERNS = (
    # scheme://user:password@host
    (re.compile(r"(?<=://)[^\s/@]+@"), f"{REDACTED}@"),
    (re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (
        re.compile(r"((?:api[_-]?key|token|secret|passw(?:or)?d|authorization)[\"']?\s*[=:]\s*)\S+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|gh[pousr]|xox[abprs]|hf|AKIA|AIza|eyJ)[-_A-Za-z0-9.]{8,}"), REDACTED),
)
_LONG_RUN = re.compile(r"[\w+/=-]{32,}")


def _unless_plain(found: re.Match[str]) -> str:
    run = found[0]
    mixed = any(map(str.isdigit, run)) and any(map(str.isalpha, run))
    return REDACTED if mixed else run


class Redaction:
    """Knows the secrets of one process.

    Args:
        environment: The environment variables; read once. Default: those of the process.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        named = os.environ if environment is None else environment
        # The longest first: one secret may contain another.
        self._secrets = sorted(
            (value for name, value in named.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET),
            key=len,
            reverse=True,
        )

    def clean(self, text: str) -> str:
        """Return a text without what could be a key, as one line of bounded length."""
        # Cut generously first, so that a huge text costs nothing, and to length at the end,
        # so that no key is cut into something that no rule knows. The last word may be
        # half of one already.
        if len(text) > _LOOKED_AT:
            text = text[:_LOOKED_AT].rpartition(" ")[0]
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        text = _LONG_RUN.sub(_unless_plain, text)
        text = " ".join(text.split())
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
