"""Where this machine has a Chromium, and how it is started.

The headless shell comes first: it takes half the memory of the whole browser and opens a page
in half the time. On Debian, ``/usr/bin/chromium-headless-shell`` is a shell script that waits
for the browser: whoever ends the script leaves the browser running. So the program behind it is
started itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["arguments", "find_chromium", "is_root"]

_LINUX = (
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/usr/lib64/chromium-browser/headless_shell",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/opt/microsoft/msedge/msedge",
    "/snap/bin/chromium",
)
_ON_PATH = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
_MACOS = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS = (
    r"Chromium\Application\chrome.exe",
    r"Google\Chrome\Application\chrome.exe",
    r"Microsoft\Edge\Application\msedge.exe",
)
_INSTALL = {
    "linux": "apt install chromium-headless-shell (Debian, Ubuntu), or dnf install chromium-headless (Fedora)",
    "darwin": "brew install --cask chromium, or install Google Chrome",
    "win32": "winget install Google.Chrome, or use Microsoft Edge",
}
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",  # it would go past the gate
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # and so would this
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers give it 64 MiB
)


def find_chromium(
    executable: str | os.PathLike[str] | None = None,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Return the path of a Chromium, or of a browser that is made from it.

    Args:
        executable: The one to take; ``None`` for the first that is found.
        platform: As ``sys.platform``.
        environment: Where programs are installed, on Windows and macOS.

    Raises:
        ConfigError: If the one that was named is none.
        MissingExtraError: If none is installed; says what to install.
    """
    if executable is not None:
        path = os.path.abspath(os.path.expanduser(os.fspath(executable)))
        if not os.access(path, os.X_OK) or os.path.isdir(path):
            message = f"executable must be the program of a Chromium, got {path}, which is none"
            raise ConfigError(message, key="executable", hint="leave it out to have one found")
        return path
    for candidate in _candidates(platform, environment):
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    install = _INSTALL.get(platform, "install Chromium with your system's package manager")
    raise MissingExtraError("rendering web pages", extra="browser", missing="Chromium", install=install)


def arguments(*, images: bool, mark: str) -> list[str]:
    """Return the arguments to start it with.

    Args:
        images: Whether pages load their pictures.
        mark: By which its process is recognised; no browser knows such an argument.
    """
    chosen = [*_ARGUMENTS, f"--tenire-pool={mark}"]
    if not images:
        chosen.append("--blink-settings=imagesEnabled=false")
    return chosen


def is_root() -> bool:
    """Return whether this is root, for whom browsers start without their sandbox only."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _candidates(platform: str, environment: Mapping[str, str]) -> Iterator[str]:
    if platform == "win32":
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
            if folder := environment.get(variable):
                yield from (os.path.join(folder, name) for name in _WINDOWS)
    elif platform == "darwin":
        for folder in ("/Applications", os.path.join(environment.get("HOME", "/"), "Applications")):
            yield from (os.path.join(folder, name) for name in _MACOS)
    else:
        yield from _LINUX
    for name in _ON_PATH:
        if (found := shutil.which(name, path=environment.get("PATH", ""))) is not None:
            yield os.path.realpath(found)
