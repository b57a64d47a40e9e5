"""Named sessions: cookies and logins that outlive a browser, in files that only their owner may read."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SessionFiles", "session_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def session_name(name: str) -> str:
    """Return a session's name if it is one.

    Raises:
        ConfigError: If it could not be the name of a file.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        message = f"session must be up to 64 letters, digits, . _ or -, got {name!r}"
        raise ConfigError(message, key="session")
    return name


class SessionFiles:
    """What a browser keeps of sessions, one file each. Methods block.

    Args:
        folder: Where they lie; ``None`` keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, dict[str, Any]] = {}

    def load(self, name: str) -> dict[str, Any] | None:
        """Return what was kept of a session, or ``None``.

        Raises:
            StoreError: If its file cannot be read.
        """
        if name in self._kept or self._folder is None:
            return self._kept.get(name)
        path = self._path(name)
        try:
            state = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"the session {name} cannot be read from {path} ({reason})"
            raise StoreError(message, hint="remove the file, and log in again") from error
        if not isinstance(state, dict):
            message = f"the session {name} cannot be read from {path} (expected an object)"
            raise StoreError(message, hint="remove the file, and log in again")
        self._kept[name] = state
        return state

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep what a browser knows of a session.

        Raises:
            StoreError: If its file cannot be written.
        """
        if self._kept.get(name) == state:
            return
        if self._folder is not None:
            try:
                self._write(self._path(name), json.dumps(state).encode())
            except OSError as error:
                message = f"the session {name} cannot be kept in {self._folder} ({error.strerror or error})"
                raise StoreError(message) from error
        self._kept[name] = dict(state)

    def forget(self, name: str) -> None:
        """Forget a session: log out, as far as this machine is concerned."""
        self._kept.pop(name, None)
        if self._folder is not None:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.json"

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made with these rights, not given them later: nobody reads it in between. Then put in
        # the other's place in one step: a crash leaves the old one or the new one.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
