"""Prepare the demo's corpus: real documentation, from the best source at hand.

1. ``CORPUS=dir``: the two halves of a folder of yours.
2. Debian: the manuals of Python and PostgreSQL, downloaded by the ordinary
   package client and unpacked without being installed.
3. Otherwise the sources and texts inside the Python installation itself.

The result is kept in ``.demo/corpus``; a second call only reads its list.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERSION = 1
"""Of this script's choice of files; another number prepares the corpus anew."""

PYTHON_FOLDERS = ("tutorial", "faq", "howto", "reference", "library")
"""Of Python's manual, in order of preference until the budget is used up."""

PYTHON_BUDGET = 4_700_000
"""Bytes of Python's manual. With PostgreSQL's, it makes about 12 MB of text in 1,400 files."""

INSTALLATION_BUDGET = 6_000_000
INSTALLATION_FILES = 550
LARGEST_INSTALLED_FILE = 60_000


class CorpusError(Exception):
    """No corpus can be had; the message says why and what to do."""


@dataclass(frozen=True)
class Part:
    """One pipeline's share of the corpus.

    Attributes:
        name: The pipeline's name.
        sources: Absolute paths of folders and files.
        files: Number of files.
        size: Bytes of those files.
    """

    name: str
    sources: tuple[str, ...]
    files: int
    size: int


@dataclass(frozen=True)
class Corpus:
    """What the demo reads.

    Attributes:
        kind: ``own``, ``debian`` or ``installation``.
        origin: Where it comes from, for people.
        licence: Where its licence can be read, or an empty string.
        parts: Two parts.
    """

    kind: str
    origin: str
    licence: str
    parts: tuple[Part, Part]


def prepare(cache: Path, own: str | None, say: Callable[[str], None]) -> Corpus:
    """Return the corpus, preparing it if need be.

    Args:
        cache: The folder to keep it in.
        own: A folder of the user's, or ``None``.
        say: Told what happens, one line a step.

    Raises:
        CorpusError: If there is none.
    """
    if own:
        return halves(Path(own).expanduser())
    ready = read_manifest(cache)
    if ready is not None:
        return ready
    cache.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and moved in one step: what is there is always whole.
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="corpus-") as work:
        made = from_debian(Path(work), say) or from_installation(Path(work), say)
        shutil.rmtree(cache, ignore_errors=True)
        (Path(work) / "made").replace(cache)
    corpus = Corpus(
        kind=made[0],
        origin=made[1],
        licence=str(cache / "licences"),
        parts=(measure(cache / made[2][0]), measure(cache / made[2][1])),
    )
    manifest = {"version": VERSION, **asdict(corpus)}
    (cache / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return corpus


def read_manifest(cache: Path) -> Corpus | None:
    """Return the corpus that is there, if it is whole, of this version and in its place."""
    try:
        data = json.loads((cache / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if data["version"] != VERSION or data["licence"] != str(cache / "licences"):
        return None
    first, second = (Part(part["name"], tuple(part["sources"]), part["files"], part["size"]) for part in data["parts"])
    return Corpus(data["kind"], data["origin"], data["licence"], (first, second))


def measure(folder: Path) -> Part:
    """Return a folder as a part."""
    sizes = [file.stat().st_size for file in files_below(folder)]
    return Part(folder.name, (str(folder),), len(sizes), sum(sizes))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield regular files in order; links to folders are not followed, dangling ones left out."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            if file.is_file():
                yield file


def copy_within(files: Iterable[tuple[Path, str]], target: Path, *, budget: int, at_least: int = 0) -> int:
    """Copy files to ``target`` under the given names until the budget is used up; return their number."""
    used = copied = 0
    for file, name in files:
        size = file.stat().st_size
        if used + size > budget and copied >= at_least:
            break
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        # The content alone, also where the package holds a link to it.
        shutil.copyfile(file, place)
        used += size
        copied += 1
    return copied


# ---------------------------------------------------------------- your own


def halves(folder: Path) -> Corpus:
    """Cut a folder of the user's into two parts of about the same size, along its entries."""
    if not folder.is_dir():
        raise CorpusError(f"CORPUS={folder} is not a folder")
    top = folder.resolve()
    entries = visible(top)
    while len(entries) == 1 and entries[0].is_dir():
        entries = visible(entries[0])
    weights = [measure_entry(entry) for entry in entries]
    if len(entries) < 2 or sum(files for files, _ in weights) < 2:
        raise CorpusError(f"CORPUS={folder} holds fewer than two files; the demo needs two parts")
    total = sum(size for _, size in weights)
    cut, before = 1, weights[0][1]
    while cut < len(entries) - 1 and before + weights[cut][1] / 2 < total / 2:
        before += weights[cut][1]
        cut += 1
    parts = [
        Part(
            name,
            tuple(str(entry) for entry in entries[chosen]),
            sum(files for files, _ in weights[chosen]),
            sum(size for _, size in weights[chosen]),
        )
        for name, chosen in (("first-half", slice(0, cut)), ("second-half", slice(cut, None)))
    ]
    return Corpus("own", str(top), "", (parts[0], parts[1]))


def visible(folder: Path) -> list[Path]:
    """Return a folder's entries without hidden ones and links to folders, by name."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and (entry.is_file() or (entry.is_dir() and not entry.is_symlink()))
    )


def measure_entry(entry: Path) -> tuple[int, int]:
    """Return how many files an entry holds, and their bytes."""
    if entry.is_dir():
        part = measure(entry)
        return part.files, part.size
    return 1, entry.stat().st_size


# ---------------------------------------------------------------- Debian


def from_debian(work: Path, say: Callable[[str], None]) -> tuple[str, str, tuple[str, str]] | None:
    """Download and unpack two manuals, or return ``None`` where that does not work."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    packages = debian_packages(say)
    if packages is None:
        return None
    say(f"downloading {packages[0]} and {packages[1]} (18 MB; unpacked, not installed)")
    for package in packages:
        if not command("apt-get", "download", package, at=work):
            return None
    for archive in sorted(work.glob("*.deb")):
        if not command("dpkg-deb", "-x", str(archive), str(work / "unpacked"), at=work):
            return None
    documents = work / "unpacked" / "usr" / "share" / "doc"
    made = work / "made"
    sources = next((place for place in sorted(documents.rglob("_sources")) if (place / "library").is_dir()), None)
    manual = documents / packages[1] / "html"
    if sources is None or not manual.is_dir():
        return None
    chosen = ((file, f"{folder}/{file.name}") for folder in PYTHON_FOLDERS for file in files_below(sources / folder))
    copy_within(chosen, made / "python", budget=PYTHON_BUDGET)
    copy_within(
        ((file, file.name) for file in files_below(manual) if file.suffix == ".html"),
        made / "postgres",
        budget=1 << 30,
    )
    for package in packages:
        copyright_file = documents / package / "copyright"
        if copyright_file.is_file():
            copy_within([(copyright_file, f"{package}.txt")], made / "licences", budget=1 << 30)
    return "debian", f"Debian's {packages[0]} and {packages[1]}", ("python", "postgres")


def debian_packages(say: Callable[[str], None]) -> tuple[str, str] | None:
    """Return the names of the newest packages of both manuals, or ``None``."""
    patterns = (r"^python3\.[0-9]+-doc$", r"^postgresql-doc-[0-9]+$")
    found = [newest(pattern) for pattern in patterns]
    if not all(found) and hasattr(os, "geteuid") and os.geteuid() == 0:
        say("reading Debian's package lists")
        command("apt-get", "update", at=Path("/"))
        found = [newest(pattern) for pattern in patterns]
    python, postgres = found
    return (python, postgres) if python and postgres else None


def newest(pattern: str) -> str | None:
    """Return the newest real package whose name matches, or ``None``."""
    listing = subprocess.run(
        ["apt-cache", "search", "--names-only", pattern], capture_output=True, text=True, check=False
    ).stdout
    names = [line.split(" ", 1)[0] for line in listing.splitlines()]
    # By the number at the end of python3.13-doc or postgresql-doc-17.
    names.sort(key=lambda name: [int(digits) for digits in "".join(c if c.isdigit() else " " for c in name).split()])
    return names[-1] if names else None


def command(*arguments: str, at: Path) -> bool:
    """Run a command silently; return whether it succeeded."""
    return subprocess.run(arguments, cwd=at, capture_output=True, check=False).returncode == 0


# ---------------------------------------------------------------- the Python installation


def from_installation(work: Path, say: Callable[[str], None]) -> tuple[str, str, tuple[str, str]]:
    """Take Python's own library and the texts of the packages that are installed.

    Raises:
        CorpusError: If this Python has too few files (an embedded one).
    """
    say("Debian's packages are out of reach; taking the sources and texts of this Python installation")
    library = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib"))
    made = work / "made"
    copied = [
        copy_within(
            named(library, leave_out={"site-packages", "dist-packages", "test", "tests", "__pycache__"}),
            made / "library",
            budget=INSTALLATION_BUDGET,
            at_least=INSTALLATION_FILES,
        ),
        copy_within(
            named(packages, leave_out={"__pycache__"}),
            made / "packages",
            budget=INSTALLATION_BUDGET,
            at_least=INSTALLATION_FILES,
        ),
    ]
    if min(copied) == 0:
        raise CorpusError("this Python installation holds no sources; name a folder of documents: make demo CORPUS=…")
    licence = library / "LICENSE.txt"
    if licence.is_file():
        copy_within([(licence, "python.txt")], made / "licences", budget=1 << 30)
    return "installation", f"the Python installation in {library}", ("library", "packages")


def named(folder: Path, *, leave_out: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield the texts of a folder with their relative names: documentation first, then sources."""
    suffixes = ({".md", ".rst", ".txt"}, {".py", ".pyi"})
    for wanted in suffixes:
        for file in files_below(folder):
            relative = file.relative_to(folder)
            if (
                file.suffix in wanted
                and not leave_out.intersection(relative.parts)
                and 0 < file.stat().st_size < LARGEST_INSTALLED_FILE
            ):
                yield file, relative.as_posix()
