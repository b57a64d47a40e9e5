"""The address of a server store: what of it may be shown and kept, and what may not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from tenire.errors import ConfigError

__all__ = ["ServerAddress"]

_SECRETS = ("password", "sslpassword")
# No : / @ in a user's name or password but as %3A, %2F, %40: or nobody can tell where the password ends.
# Ports are numbers and options have names, so that no part of a password is taken for one of them.
_HOST = r"(?:\[[^\]/?#@\s]*\]|[^:/?#@\s,]*)(?::\d+)?"
_OPTION = r"[\w%]+=[^&?#\s]*"
_WRITTEN = re.compile(
    rf"(?P<scheme>postgres(?:ql)?)://(?:(?P<user>[^:/?#@\s]*)(?::[^:/?#@\s]*)?@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    rf"(?P<path>/[^/?#@\s]*)?(?:\?(?P<options>{_OPTION}(?:&{_OPTION})*)?)?"
)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a store on a PostgreSQL server is.

    Attributes:
        shown: The address without passwords: for messages and for the ledger.
        dsn: The address as it was given; never shown.
    """

    shown: str
    dsn: str = field(repr=False, compare=False)

    @classmethod
    def of(cls, dsn: str) -> ServerAddress:
        """Return an address.

        Raises:
            ConfigError: If it is none of a PostgreSQL server. The error does not repeat it.
        """
        found = _WRITTEN.fullmatch(dsn)
        if found is None:
            message = "a store's address must look like postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE"
            hint = "write @ : / ? # and spaces in a name or a password as %40 %3A %2F %3F %23 %20"
            raise ConfigError(message, key="store", hint=hint)
        options = [option for option in (found["options"] or "").split("&") if option and not _secret(option)]
        user = f"{found['user']}@" if found["user"] else ""
        shown = f"{found['scheme']}://{user}{found['hosts']}{found['path'] or ''}"
        return cls(f"{shown}?{'&'.join(options)}" if options else shown, dsn)


def _secret(option: str) -> bool:
    return unquote(option.partition("=")[0]).strip().lower() in _SECRETS
