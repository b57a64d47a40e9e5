"""Write the reference page of the command line from ``--help``, and check every link.

With ``--check`` nothing is written: a page that is not current is an error.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"

LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
FENCE = re.compile(r"^(```+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)


def help_of(*words: str) -> str:
    """Return what ``tenire WORDS --help`` prints on 80 columns, without colour."""
    plain = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENIRE_")}
    result = subprocess.run(
        [sys.executable, "-m", "tenire", *words, "--help"],
        env={**environment, **plain},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


def cli_page() -> str:
    """Return the page's text."""
    main = help_of()
    commands = re.findall(r"^  ([a-z][a-z-]*)(?=  |$)", main.partition("Commands:")[2], re.MULTILINE)
    lines = [
        "# Command line",
        "",
        "Written by `make docs` from `tenire --help`; a test keeps it current.",
        "",
        "Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done, but items are in quarantine;",
        "130 interrupted (everything finished is kept).",
        "",
        "```text",
        main,
        "```",
    ]
    for name in commands:
        lines += ["", f"## tenire {name}", "", "```text", help_of(name), "```"]
    return "\n".join(lines) + "\n"


def pages(root: Path) -> list[Path]:
    """Return all pages for people, those at the top first."""
    return sorted(root.glob("*.md")) + sorted((root / "docs").rglob("*.md"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are formed by the usual Markdown hosts."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken_links(root: Path) -> list[str]:
    """Return every link inside the project that leads nowhere."""
    broken = []
    for page in pages(root):
        text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
        for link in LINK.findall(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path) if path else page
            missing = not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
            if missing:
                broken.append(f"{page.relative_to(root)}: {link}")
    return broken


def main(words: list[str]) -> int:
    """Write or check; return 1 if something is wrong."""
    problems = [f"broken link: {link}" for link in broken_links(ROOT)]
    page = cli_page()
    current = CLI_PAGE.read_text(encoding="utf-8") if CLI_PAGE.exists() else ""
    if page != current:
        if "--check" in words:
            problems.append(f"{CLI_PAGE.relative_to(ROOT)} is not what `tenire --help` says; run: make docs")
        else:
            CLI_PAGE.parent.mkdir(parents=True, exist_ok=True)
            CLI_PAGE.write_text(page, encoding="utf-8")
            print(f"tenire: wrote {CLI_PAGE.relative_to(ROOT)}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
