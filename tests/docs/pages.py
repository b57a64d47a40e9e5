"""Pages cut into blocks, and the running of them."""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from tenire.app.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).resolve().parent / "sample"

FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
SETUP = ("git clone ", "cd ", "export ")
"""Beginnings of shell lines that are not run: they set the stage that the test sets itself."""

LIMIT_S = 240
QUARANTINED = 3


class PageError(AssertionError):
    """A block of a page does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        kind: The word after the fence.
        body: Its lines.
        line: The line of the fence.
        follows: Whether it follows the block before it at once, or after one line of text.
    """

    kind: str
    body: str
    line: int
    follows: bool


def blocks_of(text: str) -> list[Block]:
    """Cut a page into its blocks, in order."""
    found = []
    end = 0
    for match in FENCE.finditer(text):
        between = [line for line in text[end : match.start()].splitlines() if line.strip()]
        follows = bool(found) and len(between) <= 1 and not any(line.startswith("#") for line in between)
        found.append(Block(match["kind"].strip(), match["body"], text.count("\n", 0, match.start()) + 1, follows))
        end = match.end()
    return found


class Page:
    """One page and the folder in which its blocks run.

    Blocks run in order. Python blocks that follow each other share one program;
    a text block right after a Python block is its output. In expected output,
    ``...`` stands for anything. A TOML block is a ``tenire.toml`` that loads.
    """

    def __init__(self, name: str, text: str, folder: Path) -> None:
        self.name = name
        self.blocks = blocks_of(text)
        self.folder = folder
        # Documents to work on; examples rely on their number and words.
        shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)

    def run(self) -> int:
        """Run every block; return how many were run or parsed."""
        done = 0
        steps = groupby(enumerate(self.blocks), key=lambda item: item[1].kind if item[1].kind != "text" else "python")
        for kind, group in steps:
            blocks = [block for _, block in group]
            if kind == "python":
                self.run_python(blocks)
            elif kind in ("console", "bash"):
                for block in blocks:
                    self.run_shell(block)
            elif kind == "toml":
                for block in blocks:
                    self.load_toml(block)
            elif kind == "json":
                for block in blocks:
                    self.parse_json(block)
            else:
                raise PageError(f"{self.name}:{blocks[0].line}: a block of the unknown kind {kind!r}")
            done += len(blocks)
        return done

    def run_python(self, blocks: list[Block]) -> None:
        """Run a stretch of Python and text blocks as one program and compare what it prints."""
        programs = [block for block in blocks if block.kind == "python"]
        if not programs:
            return
        # The line numbers of the program are those of the page, so a traceback leads there.
        lines: list[str] = []
        for number, block in enumerate(programs):
            lines += [""] * (block.line - len(lines)) + block.body.splitlines()
            lines.append(f'if __name__ == "__main__": print("\\x1e{number}", flush=True)')
        script = self.folder / "example.py"
        source = "\n".join(lines) + "\n"
        if "from __future__" in source:
            raise PageError(f"{self.name}:{programs[0].line}: an example needs no __future__ import")
        script.write_text(source, encoding="utf-8")
        result = self.execute([sys.executable, script.name], at=programs[0])
        if result.returncode != 0:
            raise PageError(f"{self.name}:{programs[0].line}: the program failed\n{result.stdout}{result.stderr}")
        printed = dict(zip(programs, re.split(r"\x1e\d+\n", result.stdout), strict=False))
        for before, block in pairwise(blocks):
            if block.kind == "text" and before.kind == "python" and block.follows:
                self.compare(block, block.body, printed[before])

    def run_shell(self, block: Block) -> None:
        """Run the commands of a shell block; what stands below a ``$`` line is its output."""
        if block.kind == "console":
            entries = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.body, re.MULTILINE)
            if not entries:
                raise PageError(f"{self.name}:{block.line}: a console block without a line that starts with $")
        else:
            entries = [(line, "") for line in block.body.splitlines() if line.strip() and not line.startswith("#")]
        for line, expected in entries:
            commands = line.partition("  #")[0].split(" && ")
            outputs = [self.run_command(command.strip(), block) for command in commands]
            if expected.strip() and None not in outputs:
                self.compare(block, expected, "".join(filter(None, outputs)))

    def run_command(self, command: str, block: Block) -> str | None:
        """Run ``tenire``; check that the targets of ``make`` and the extras of ``pip`` are there."""
        place = f"{self.name}:{block.line}: {command}"
        words = shlex.split(command)
        assignments = [word for word in words if re.match(r"[A-Z_]+=", word)]
        words = [word for word in words if word not in assignments]
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            for target in words[1:]:
                if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
                    raise PageError(f"{place}: there is no such target")
            return None
        if words[:2] == ["pip", "install"]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            for extra in re.findall(r"\[([a-z,-]+)\]", command):
                if not set(extra.split(",")) <= set(extras["optional-dependencies"]):
                    raise PageError(f"{place}: there is no such extra")
            return None
        if command.startswith(SETUP):
            return None
        if words[0] != "tenire":
            raise PageError(f"{place}: only tenire, make and pip install can be checked")
        result = self.execute([sys.executable, "-m", "tenire", *words[1:]], at=block)
        if result.returncode not in (0, QUARANTINED):
            raise PageError(f"{place}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def execute(self, command: list[str], *, at: Block) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "TENIRE_HOME"}
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env={**environment, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"},
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            printed = (error.stdout or b"").decode(errors="replace")
            raise PageError(f"{self.name}:{at.line}: not done within {LIMIT_S} s, but\n{printed}") from error

    def load_toml(self, block: Block) -> None:
        """Read a block as a configuration, and leave it for the commands that follow."""
        file = self.folder / "tenire.toml"
        file.write_text(block.body, encoding="utf-8")
        try:
            load_config(file)
        except Exception as error:
            raise PageError(f"{self.name}:{block.line}: {error}") from error

    def parse_json(self, block: Block) -> None:
        try:
            json.loads(block.body)
        except ValueError as error:
            raise PageError(f"{self.name}:{block.line}: {error}") from error

    def compare(self, block: Block, expected: str, printed: str) -> None:
        checker = doctest.OutputChecker()
        want, got = expected.strip() + "\n", printed.strip() + "\n"
        if not checker.check_output(want, got, doctest.ELLIPSIS):
            raise PageError(f"{self.name}:{block.line}: expected\n{want}\ngot\n{got}")
