"""Makes a disk fail for a moment, for real: by what the system itself refuses.

- too_large: no file of this process and of its children may be longer than a few bytes (``RLIMIT_FSIZE``), so that
  writes fail in the middle of files; whoever runs it may do that;
- read_only: the homes' directories and files may not be written. What is open already goes on. To root permissions
  mean nothing, so ``confined`` gives up what makes it so;
- full: a file takes all the room that the homes' disk has left, a small one that only root may mount, in a mount
  namespace of its own that goes with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

__all__ = ["Disk", "confined"]

SIZE = "256m"
_CONFINED = "TENIRE_SOAK_CONFINED"
_THROUGH = ("unshare", "--mount", "setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def confined() -> None:
    """Start this program again where permissions hold for it and it may mount, if it is root's and that can be."""
    if os.geteuid() or _CONFINED in os.environ or not all(map(shutil.which, ("unshare", "setpriv"))):
        return
    if subprocess.run([*_THROUGH, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_CONFINED] = "yes"
        os.execvp(_THROUGH[0], [*_THROUGH, sys.executable, *sys.orig_argv[1:]])


class Disk:
    """The disk that homes lie on; a context manager.

    Args:
        folder: Where to put them; a disk of its own is mounted there if that may be.

    Attributes:
        kinds: How it can fail here.
        fails: Whether it fails now.
        ours: Held by whoever must be able to write, and while it fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.kinds = ["too_large"]
        self._struck = 0
        self.fails = False
        self.ours = asyncio.Lock()
        self._room = folder / "ballast"
        if self._mounted():
            self.kinds.append("full")
        folder.chmod(0o500)
        if not os.access(folder, os.W_OK, effective_ids=True):
            self.kinds.append("read_only")
        folder.chmod(0o700)

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_: object) -> None:
        if "full" in self.kinds:
            subprocess.run(["umount", "--lazy", self.folder], check=True)

    def _mounted(self) -> bool:
        if _CONFINED not in os.environ:  # or it would outlive this process
            return False
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", os.fspath(self.folder)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def met(self) -> Callable[[], bool]:
        """Return a function that tells whether it has failed at any time from now on."""
        before = self._struck - self.fails
        return lambda: self._struck > before

    async def fail(self, kind: str, seconds: float, rng: random.Random) -> None:
        """Fail for some seconds, and be as before again, whatever happens meanwhile."""
        async with self.ours:
            self._struck += 1
            with getattr(self, f"_{kind}")(rng):
                self.fails = True
                try:
                    await asyncio.sleep(seconds)
                finally:
                    self.fails = False

    @contextlib.contextmanager
    def _too_large(self, rng: random.Random) -> Iterator[None]:
        import resource  # here: Windows has none, and tests import this there

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (rng.choice([0, 4096]), before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            # Processes that were started meanwhile have it from here.
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):
                    child.rlimit(psutil.RLIMIT_FSIZE, before)

    @contextlib.contextmanager
    def _read_only(self, _: random.Random) -> Iterator[None]:
        was = self._modes()
        try:
            for path, mode in was.items():
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(mode & 0o555)
            yield
        finally:
            for path in self._modes():  # parents first
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(was.get(path, 0o700 if path.is_dir() else 0o600))

    def _modes(self) -> dict[Path, int]:
        """Return the modes of directories and files: a read-only disk lets programs talk through its sockets."""
        found = {self.folder: self.folder.stat().st_mode}
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # somebody has just removed it
                    mode = path.lstat().st_mode
                    if not stat.S_ISSOCK(mode):
                        found[path] = mode
        return {path: stat.S_IMODE(mode) for path, mode in found.items()}

    @contextlib.contextmanager
    def _full(self, _: random.Random) -> Iterator[None]:
        try:
            with self._room.open("wb") as file, contextlib.suppress(OSError):
                left = os.statvfs(self.folder)
                os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)
            yield
        finally:
            self._room.unlink(missing_ok=True)
