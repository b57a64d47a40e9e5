"""The file source: lists what a user named, lazily, each file once.

What counts (the contract of ``seen``):

1. Every regular, non-hidden file below a named directory is *seen*, unless its
   type holds no text: those come out as ``Skipped``. A named root may itself be
   hidden.
2. FIFOs, devices, sockets, dangling links, link loops and unreadable
   directories come out as a ``Rejection`` of stage ``read``: seen and
   quarantined, never silently passed over.
3. Links to directories are not followed and not counted, so a walk cannot go
   round in circles; links to files are read under the link's own path.
4. A file that several of the named paths reach comes out once. Directories
   come before globs and globs before single files, and each asks those before
   it whether they reach a path. Nothing is remembered per file, so memory stays
   that of one open directory a level.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.pipeline.listing import Skipped, classify, entries, is_own_directory, printable
from tenire.pipeline.patterns import TreePattern, has_magic
from tenire.pipeline.roots import Roots
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenire.pipeline.listing import Listed
    from tenire.pipeline.patterns import States

__all__ = ["FileSource", "PathSource", "Skipped"]


@dataclass(frozen=True, slots=True)
class _Root:
    """One named path, resolved.

    Attributes:
        shown: Absolute path as the user named it; for a glob, its fixed base.
        real: The same without links in its directories: its identity.
        pattern: The glob below ``shown``, or ``None``.
    """

    shown: str
    real: str
    pattern: TreePattern | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The named paths, sorted by what they are; no directory reaches another."""

    directories: dict[str, _Root]
    globs: tuple[_Root, ...]
    files: dict[str, _Root]


class FileSource:
    """Lists the files below directories, behind globs, and single files.

    Args:
        paths: Directories, files or globs; relative ones start at ``base``. A
            path that exists is taken literally even if it looks like a glob.
        base: Where relative paths start; default: the current directory.
        exclude: Directories that are never entered, for example Tenire's home.
    """

    def __init__(self, paths: Sequence[str], base: Path | None = None, *, exclude: Sequence[Path] = ()) -> None:
        self._paths = tuple(paths)
        self._base = os.path.abspath(base if base is not None else os.curdir)
        self._exclude = frozenset(os.path.realpath(directory) for directory in exclude)
        self._cached: _Plan | None = None

    def check(self) -> None:
        """Refuse what cannot be meant, before anything starts.

        Raises:
            ConfigError: If a named path is missing or may not be read, or the
                fixed base directory of a glob is. A glob without a match is fine.
        """
        for path in self._paths:
            root = self._resolve(path)
            mode = _mode(root.shown)
            if mode is None or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                continue  # a dangling link or a device exists; the walk will quarantine it
            wanted = os.R_OK | os.X_OK if stat.S_ISDIR(mode) else os.R_OK
            if not os.access(root.shown, wanted):
                what = "directory" if stat.S_ISDIR(mode) else "file"
                raise ConfigError(
                    f"the {what} {printable(root.shown)} may not be read",
                    key=path,
                    hint="change its permissions, or leave it out",
                )

    def walk(self) -> Iterator[Listed]:
        """Yield every file once, in a fixed order: sorted by name within each directory.

        Raises:
            ConfigError: As ``check``, if a named path is missing by now.
        """
        plan = self._plan()
        for root in plan.directories.values():
            for _, item in self._scan(root):
                yield item
        for index, root in enumerate(plan.globs):
            for shown, item in self._scan(root):
                identity = root.real + shown[len(root.shown) :]
                if not _reached(identity, plan.directories) and not _found(identity, plan.globs[:index]):
                    yield item
        for identity, root in plan.files.items():
            if not _reached(identity, plan.directories) and not _found(identity, plan.globs):
                listed = classify(root.shown)
                if listed is not None:
                    yield listed

    def covers(self, path: str) -> bool:
        """Return whether a walk would list this path if it were there."""
        plan = self._cached
        if plan is None:
            plan = self._cached = self._plan()
        directory, name = os.path.split(path)
        identity = os.path.join(os.path.realpath(directory), name)
        return identity in plan.files or _reached(identity, plan.directories) or _found(identity, plan.globs)

    def roots(self) -> Roots:
        """Return the directories in which its files can be.

        Raises:
            ConfigError: As ``check``, if a named path is missing.
        """
        plan = self._cached = self._plan()
        deep = dict.fromkeys(root.shown for root in (*plan.directories.values(), *plan.globs))
        flat = dict.fromkeys(os.path.dirname(root.shown) for root in plan.files.values())
        return Roots(tuple(deep), tuple(directory for directory in flat if directory not in deep))

    def concerns(self, path: str) -> bool:
        """Return whether what changed at a path, or below it, can change what a walk lists.

        Not what is hidden or excluded, and not the named directories themselves.

        Args:
            path: An absolute path that begins as the source's own paths do.
        """
        plan = self._cached
        if plan is None:
            plan = self._cached = self._plan()
        if any(path == root.shown for root in plan.files.values()):
            return True
        return any(self._reaches(root, path) for root in (*plan.directories.values(), *plan.globs))

    def _reaches(self, root: _Root, path: str) -> bool:
        prefix = root.shown.rstrip(os.sep) + os.sep
        if not path.startswith(prefix) or len(path) == len(prefix):
            return False
        below = path[len(prefix) :]
        if self._excluded(os.path.join(root.real, below)):
            return False
        parts = below.split(os.sep)
        if root.pattern is None:
            return not any(part.startswith(".") for part in parts)
        states = root.pattern.start()
        for place, part in enumerate(parts, 1):
            states = root.pattern.step(states, part)
            if not states:
                return False
            if root.pattern.accepts(states):
                # A directory that matches counts with all that is below, but for what is hidden.
                return not any(hidden.startswith(".") for hidden in parts[place:])
        return True

    def _plan(self) -> _Plan:
        directories: dict[str, _Root] = {}
        globs: list[_Root] = []
        files: dict[str, _Root] = {}
        for path in self._paths:
            root = self._resolve(path)
            if self._excluded(root.real):
                continue
            if root.pattern is not None:
                globs.append(root)
            elif os.path.isdir(root.shown):
                directories.setdefault(root.real, root)
            else:
                files.setdefault(root.real, root)
        outer = {real: root for real, root in directories.items() if not _reached(real, directories)}
        return _Plan(outer, tuple(globs), files)

    def _resolve(self, path: str) -> _Root:
        if not path or "\0" in path:
            raise ConfigError(f"expected a path, got {path!r}", key=path)
        shown = os.path.normpath(os.path.join(self._base, path))
        if path.startswith("~") and not os.path.lexists(shown):
            shown = os.path.normpath(os.path.join(self._base, os.path.expanduser(path)))
        try:
            os.lstat(shown)
        except OSError as error:
            if has_magic(shown):
                return self._resolve_glob(path, shown)
            raise _missing(shown, path, error) from error
        if os.path.isdir(shown):
            return _Root(shown, os.path.realpath(shown))
        # A link to a file is a source of its own: only its directory is resolved.
        directory, name = os.path.split(shown)
        return _Root(shown, os.path.join(os.path.realpath(directory), name))

    def _resolve_glob(self, path: str, shown: str) -> _Root:
        parts = Path(shown).parts
        fixed = next(index for index, part in enumerate(parts) if has_magic(part))
        directory = os.path.join(*parts[:fixed])
        try:
            is_directory = stat.S_ISDIR(os.stat(directory).st_mode)
        except OSError as error:
            raise _missing(directory, path, error) from error
        if not is_directory:
            raise ConfigError(f"expected a directory in front of the wildcards, got {printable(directory)}", key=path)
        return _Root(directory, os.path.realpath(directory), TreePattern(parts[fixed:]))

    def _excluded(self, real: str) -> bool:
        return bool(self._exclude) and any(
            real == directory or real.startswith(directory + os.sep) for directory in self._exclude
        )

    def _scan(self, root: _Root) -> Iterator[tuple[str, Listed]]:
        """Walk one tree and yield (path, what is there).

        An explicit stack, because a tree may be deeper than Python's recursion
        limit. States are ``None`` where everything below counts.
        """
        pattern = root.pattern
        start = pattern.start() if pattern is not None else None
        stack: list[tuple[str, States | None, Iterator[os.DirEntry[str] | Rejection]]]
        stack = [(root.shown, start, entries(root.shown))]
        while stack:
            directory, states, waiting = stack[-1]
            entry = next(waiting, None)
            if entry is None:
                stack.pop()
                continue
            if isinstance(entry, Rejection):
                yield directory, entry
                continue
            path = os.path.join(directory, entry.name)
            following: States | None = None
            if states is None or pattern is None:
                if entry.name.startswith("."):
                    continue
            else:
                following = pattern.step(states, entry.name)
                if not following:
                    continue
            is_directory = is_own_directory(entry)
            if following is not None and pattern is not None:
                if pattern.accepts(following):
                    following = None
                elif not is_directory:
                    continue
            if not is_directory:
                listed = classify(path, entry)
                if listed is not None:
                    yield path, listed
            elif root.real + path[len(root.shown) :] not in self._exclude:
                stack.append((path, following, entries(path)))


class PathSource:
    """Lists some files by their paths; what has left is simply not listed.

    Args:
        paths: Absolute paths.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = frozenset(paths)

    def covers(self, path: str) -> bool:
        """Return whether this is one of the paths."""
        return path in self._paths

    def walk(self) -> Iterator[Listed]:
        """Yield what stands at each path that exists."""
        for path in sorted(self._paths):
            listed = classify(path) if os.path.lexists(path) else None
            if listed is not None:
                yield listed


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def _reached(real: str, directories: dict[str, _Root]) -> bool:
    """Whether the walk of another directory reaches a path: below it, with nothing hidden between."""
    path = real
    while True:
        parent, name = os.path.split(path)
        if name.startswith(".") or parent == path:
            return False
        if parent in directories:
            return True
        path = parent


def _found(identity: str, globs: Sequence[_Root]) -> bool:
    for root in globs:
        prefix = root.real.rstrip(os.sep) + os.sep
        if not identity.startswith(prefix):
            continue
        if root.pattern is not None and root.pattern.finds(identity[len(prefix) :].split(os.sep)):
            return True
    return False


def _missing(shown: str, path: str, error: OSError) -> ConfigError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ConfigError(f"{printable(shown)} does not exist", key=path, hint="check the path's spelling")
    return ConfigError(f"{printable(shown)} cannot be read: {error.strerror}", key=path)
