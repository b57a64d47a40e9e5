"""Install what tests need of the system: libraries for windows, a screen that is none, a browser, a server.

Only as root, and only where there is ``apt-get`` (Debian, Ubuntu); elsewhere the tests that need it
are skipped, and say so. It installs nothing that is there, says what it does in one line, and never
fails: what cannot be installed is missing as before. ``--list`` prints what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = {
    "windows without a screen": (
        "libglib2.0-0t64", "libgl1", "libegl1", "libxkbcommon0", "libfontconfig1", "libdbus-1-3", "fonts-dejavu-core",
    ),
    "windows on a screen in memory": (
        "xvfb", "xauth", "libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-image0", "libxcb-randr0",
        "libxcb-render-util0", "libxcb-shape0", "libxcb-xkb1", "libxkbcommon-x11-0",
    ),
    "pages in a browser": ("chromium-headless-shell",),
    "a store on a server": ("postgresql-17", "postgresql-17-pgvector"),
}  # fmt: skip
"""What is needed, by purpose."""

OTHER_NAMES = {"libglib2.0-0t64": "libglib2.0-0", "chromium-headless-shell": "chromium"}
"""Names in releases that do not know the first one."""

LIMIT_S = 300


def missing() -> list[str]:
    """Return the packages that are not installed, whichever of their names they have."""
    wanted = [name for names in PACKAGES.values() for name in names]
    asked = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *wanted, *OTHER_NAMES.values()]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    there = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there and OTHER_NAMES.get(name) not in there]


def known(names: list[str]) -> list[str]:
    """Return the names under which this release has them; those that it does not have are left out."""
    found = []
    for name in names:
        for candidate in (name, OTHER_NAMES.get(name)):
            if candidate is None:
                continue
            told = subprocess.run(
                ["apt-cache", "policy", candidate], capture_output=True, text=True, check=False
            ).stdout
            if "Candidate:" in told and "Candidate: (none)" not in told:
                found.append(candidate)
                break
    return found


def can_install() -> bool:
    """Return whether this is root on a system with apt-get."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return root and all(shutil.which(name) for name in ("apt-get", "apt-cache", "dpkg-query"))


def apt_get(*words: str, log: Path) -> bool:
    """Run apt-get without questions; return whether it went well."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", *words]
    with log.open("ab") as output:
        try:
            done = subprocess.run(command, stdout=output, stderr=output, env=environment, timeout=LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            output.write(f"{error}\n".encode())
            return False
    return done.returncode == 0


def main(words: list[str]) -> int:
    """Install what is missing; always return 0."""
    if not can_install():
        return 0
    names = missing()
    if "--list" in words:
        print("\n".join(names))
        return 0
    if not names:
        return 0
    print(f"tenire: installing for tests of windows, pages and a server: {', '.join(names)}", flush=True)
    with tempfile.NamedTemporaryFile(prefix="tenire-apt-", suffix=".log", delete=False) as file:
        log = Path(file.name)
    apt_get("update", log=log)
    installed = apt_get("install", *known(names), log=log)
    left = missing()
    if left or not installed:
        print(f"tenire: could not install {', '.join(left)}; their tests are skipped ({log})", flush=True)
    else:
        log.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
