"""What must not stand anywhere in the project's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import House

FOLDERS = ("src", "tests", "docs", "scripts", "requirements", "benchmarks", "examples", ".ci")
BINARY = {".gif", ".gz", ".ico", ".jpg", ".npz", ".png", ".pyc", ".safetensors", ".woff2", ".zst"}

# A project that names an index or a mirror takes that choice from its users.
REGISTRY = re.compile(r"https?://[^\s\"'<>)]*(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com|net)", re.IGNORECASE)


def text_files(root: Path) -> Iterator[Path]:
    yield from (file for file in sorted(root.iterdir()) if file.is_file() and file.name != ".git")
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts and file.suffix not in BINARY:
                yield file


def places(root: Path, *, own: Path, home: Path) -> list[str]:
    """Return where a path of this machine, or the address of a registry, is written down."""
    # A folder as short as /app may stand in a text by chance.
    machine = [str(path) for path in (own, home) if len(path.parts) > 2 or path.name == "root"]
    found = []
    for file in text_files(root):
        if file.name.endswith("-install.log"):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{file.relative_to(root)} names {path}" for path in machine if re.search(rf"{re.escape(path)}\b/", text)
        ]
        found += [f"{file.relative_to(root)} names {match}" for match in REGISTRY.findall(text)]
    return found


def test_no_file_names_a_path_of_this_machine_or_a_registry(house: House) -> None:
    assert places(house.root, own=house.root, home=Path.home()) == []


@pytest.mark.parametrize(
    "line",
    [
        "cache = '{home}/.cache/x'",
        "see {root}/src",
        "index = https" + "://pypi" + ".org/simple",
        "https" + "://files.python" + "hosted.org/x",
    ],
)
def test_a_planted_path_or_registry_is_caught(copied_house: House, tmp_path: Path, line: str) -> None:
    home = Path("/home/someone/")
    copied_house.plant("core/planted.py", "# " + line.format(home=home, root=tmp_path))
    (found,) = places(tmp_path, own=tmp_path, home=home)
    assert "planted.py names" in found


def pinned(root: Path) -> list[Path]:
    return sorted((root / "requirements").glob("*.txt"))


def test_pins_name_no_address(house: House) -> None:
    assert pinned(house.root)
    for file in pinned(house.root):
        text = file.read_text(encoding="utf-8")
        assert "://" not in text, file.name
        assert not re.search(r"^\s*-", text.replace("    --hash=", "    "), re.MULTILINE), (
            f"{file.name} holds an option"
        )


def test_every_pin_is_exact_and_has_a_hash(house: House) -> None:
    for file in pinned(house.root):
        entries = re.sub(r" \\\n\s+", " ", file.read_text(encoding="utf-8")).splitlines()
        assert entries
        for entry in entries:
            assert re.match(r"[a-z0-9-]+==\S+ ", entry), f"{file.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{file.name}: {entry[:60]}"


def test_the_pins_for_tests_agree_with_those_of_the_demo(house: House) -> None:
    demo, test = (
        set(re.findall(r"^\S+==\S+", (house.root / "requirements" / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("demo.txt", "test.txt")
    )
    assert demo <= test
