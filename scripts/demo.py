"""The main job on a real corpus: three pipelines side by side, then three searches.

Two read documents; the third has a small model on this machine summarise some of them.

``make demo`` runs this. It keeps all it makes in ``.demo``; a second run finds
nothing changed. Exits 0 only if everything went well.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from corpus import Corpus, CorpusError, Part, prepare
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from summaries import Summaries, prepare_rows

from tenire import Store

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"

KNOWN_ANSWERS = {
    "how do I cancel a running asyncio task": "asyncio-task",
    "create an index without locking the table": "sql-createindex",
    "difference between vacuum and vacuum full": "vacuum",
}
"""Queries about the two manuals, and a part of the name of the page that answers each."""

SNIPPET = 240
SHOWN = 4
"""Summaries that are printed."""
DONE, QUARANTINED = 0, 3
COLUMNS = ("seen", "done", "unchanged", "quarantined", "removed", "chunks", "calls")
RARE = ("quarantined", "removed")
"""Columns that are left out where they would show nothing but zeros."""
RULES = re.compile(r"([=~^*#\"'`+.-])\1{3,}")
"""The lines under and over headings in reStructuredText and Markdown."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class DemoError(Exception):
    """Something did not go as it must; the message says what."""


def main() -> int:
    """Run the demo and return its exit code."""
    console = Console(highlight=False, soft_wrap=False)
    started = time.perf_counter()
    try:
        corpus = prepare(DEMO / "corpus", os.environ.get("CORPUS") or None, partial(console.print, style="dim"))
        introduce(console, corpus)
        home = DEMO / ("home" if corpus.kind != "own" else f"home-{short_name(corpus.origin)}")
        summaries = prepare_rows(corpus, DEMO / "summaries", home.name, partial(console.print, style="yellow"))
        config = write_config(corpus, home, summaries)
        report = tenire("run", str(config), allowed=(DONE, QUARANTINED))
        show_report(console, report, status=tenire("--home", str(home), "status"))
        if summaries is not None:
            show_summaries(console, summaries)
        with Store(home) as store:
            for query, expected in questions(corpus):
                show_answer(console, corpus, query, expected, ask(store, query))
    except (CorpusError, DemoError) as error:
        console.print(f"error: {error}", style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what was finished is kept, and `make demo` goes on from there")
        return 130
    ending(console, report, home, time.perf_counter() - started)
    return 0


def short_name(path: str) -> str:
    """Return a short name for a folder, the same in every run."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


# ---------------------------------------------------------------- running


def tenire(*words: str, allowed: tuple[int, ...] = (DONE,)) -> dict[str, Any]:
    """Run a command with ``--json`` and live progress; return its result and how long it took.

    Raises:
        DemoError: If its exit code is not allowed, or its last line is no JSON object.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "tenire", *words, "--json"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            # It got the same Ctrl-C and is saving what is finished.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)
            raise
    last = output.strip().rpartition("\n")[2]
    try:
        result = json.loads(last)
    except ValueError:
        result = None
    if not isinstance(result, dict) or process.returncode not in allowed:
        problem = (result or {}).get("error", {}).get("message") or last or "no output"
        raise DemoError(f"tenire {' '.join(words)} ended with exit code {process.returncode}: {problem}")
    result["wall_s"] = time.perf_counter() - started
    return result


def ask(store: Store, query: str) -> dict[str, Any]:
    """Search as a program would, in this process; return what ``tenire search --json`` would, and the time."""
    started = time.perf_counter()
    result = store.search(query, k=5).as_json()
    result["wall_s"] = time.perf_counter() - started
    return result


def write_config(corpus: Corpus, home: Path, summaries: Summaries | None, folder: Path = DEMO) -> Path:
    """Write the pipelines as a user would, and return the file, which lies in ``folder``."""
    lines = ["[tenire]", f"home = {quoted(str(home))}", ""]
    for part, weight in zip(corpus.parts, (2, 1), strict=True):
        settings = {"source": list(part.sources), "embedder": "auto", "weight": weight}
        lines += table(f"pipelines.{part.name}", settings)
    if summaries is not None:
        lines += table("pipelines.summaries", summaries.settings())
    folder.mkdir(exist_ok=True)
    config = folder / "tenire.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    return config


def table(name: str, settings: dict[str, Any]) -> list[str]:
    """Return the lines of a TOML table."""
    return [f"[{name}]", *(f"{key} = {quoted(value)}" for key, value in settings.items()), ""]


def quoted(value: Any) -> str:
    """Return a TOML value; JSON's texts, numbers and lists are TOML too."""
    return json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------- questions


def questions(corpus: Corpus) -> list[tuple[str, str]]:
    """Return three queries, each with a part of the right source's name (or an empty string)."""
    if corpus.kind == "debian":
        return list(KNOWN_ANSWERS.items())
    found: list[tuple[str, str]] = []
    for part in (corpus.parts[0], corpus.parts[1], corpus.parts[0]):
        taken = {query for query, _ in found}
        query = next((sentence for sentence in sentences(part) if sentence not in taken), None)
        if query is not None:
            found.append((query, ""))
    if not found:
        raise DemoError("no sentence to search for was found in the documents")
    return found


def sentences(part: Part) -> list[str]:
    """Return a sentence of each of some files of a part: the first that is neither short nor very long."""
    files: list[Path] = []
    for source in part.sources:
        path = Path(source)
        files += sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    found = []
    # From the middle on: what stands first is often a licence or an index.
    for file in files[len(files) // 2 :][:50] + files[: len(files) // 2][:50]:
        try:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(20_000)
        except (OSError, UnicodeDecodeError):
            continue
        plain = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        match = re.search(r"[A-Z][a-z]+(?: [A-Za-z,'-]+){5,14}[.!?]", plain)
        if match:
            found.append(match[0].rstrip(".!?"))
        if len(found) == 5:
            break
    return found


# ---------------------------------------------------------------- showing


def introduce(console: Console, corpus: Corpus) -> None:
    """Say what is going to be read."""
    files = sum(part.files for part in corpus.parts)
    size = sum(part.size for part in corpus.parts)
    console.print(f"{files:,} files, {size / 1e6:.1f} MB, from {corpus.origin}", markup=False, soft_wrap=True)
    if corpus.licence:
        console.print(f"licences: {os.path.relpath(corpus.licence, ROOT)}", style="dim", markup=False, soft_wrap=True)
    console.print()


def show_report(console: Console, report: dict[str, Any], status: dict[str, Any]) -> None:
    """Print the run's figures, one line a pipeline."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("pipeline", no_wrap=True)
    all_totals = report["pipelines"].values()
    columns = [column for column in COLUMNS if column not in RARE or any(totals[column] for totals in all_totals)]
    for column in (*columns, "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, totals in report["pipelines"].items():
        cells = [f"{totals.get(column, 0):,}" for column in columns]
        table.add_row(name, *cells, f"{totals['seconds']:.1f}")
    console.print(table)
    memory = f"peak memory {report['peak_rss_mib']:,.0f} MiB" if report.get("peak_rss_mib") else ""
    text, kept, store = (status.get(key, 0) for key in ("text_bytes", "text_stored_bytes", "store_bytes"))
    facts = [
        f"{report['seconds']:.1f} s for all",
        memory,
        f"{text / 1e6:.1f} MB of text kept in {kept / 1e6:.1f} MB" if text else "",
        f"store {store / 1e6:.1f} MB" if store else "",
    ]
    console.print(", ".join(fact for fact in facts if fact), markup=False, soft_wrap=True)


def show_summaries(console: Console, summaries: Summaries) -> None:
    """Print what the model on this machine says about some documents."""
    answered = summaries.read()
    if not answered:
        return
    console.print()
    console.print("summaries by the small model on this machine", style="bold")
    for title, said in answered[:: max(1, len(answered) // SHOWN)][:SHOWN]:
        line = Text.assemble((f"{clean(title)}: ", "green"), (clean(said).strip(), "dim"))
        console.print(Padding(line, (0, 0, 0, 2)))
    where = os.path.relpath(summaries.output, ROOT)
    console.print(f"  all {len(answered)} are in {where}", style="dim", markup=False, soft_wrap=True)


def show_answer(console: Console, corpus: Corpus, query: str, expected: str, answer: dict[str, Any]) -> None:
    """Print the first three hits of a search.

    Raises:
        DemoError: If nothing was found, or the page that is known to answer is not among the hits.
    """
    hits = answer["hits"]
    if not hits:
        raise DemoError(f"the search for {query!r} found nothing")
    console.print()
    heading = Text.assemble(("? ", "bold cyan"), (query, "bold"), (f"  {answer['wall_s']:.1f} s", "dim"))
    console.print(heading)
    for rank, hit in enumerate(hits[:3], start=1):
        source = shorter(hit["source"], corpus)
        console.print(
            Text.assemble((f"  {rank}. ", "cyan"), (clean(source), "green"), (f"  {hit['score']:.3f}", "dim"))
        )
        console.print(Padding(highlighted(hit["text"], query), (0, 0, 0, 5)))
    if expected and not any(expected in Path(hit["source"]).name for hit in hits):
        raise DemoError(f"the page that answers {query!r} (…{expected}…) is not among the first {len(hits)} hits")


def shorter(source: str, corpus: Corpus) -> str:
    """Return a source's path relative to the corpus."""
    base = corpus.origin if corpus.kind == "own" else str(DEMO / "corpus")
    return os.path.relpath(source, base) if source.startswith(base) else source


def clean(text: str) -> str:
    """Return text in one line that cannot steer a terminal."""
    return CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8")


def highlighted(passage: str, query: str) -> Text:
    """Return the stretch of a passage with the most words of the query, those words in bold."""
    words = {word for word in re.findall(r"\w+", query.lower()) if len(word) > 3}
    flat = re.sub(r"\s+", " ", RULES.sub(" ", clean(passage))).strip()
    places = [match.start() for match in re.finditer(r"\w+", flat) if match[0].lower() in words]
    start = max(places, key=lambda place: sum(place <= other < place + SNIPPET for other in places), default=0)
    start = max(0, flat.rfind(" ", 0, max(0, start - 30)) + 1)
    piece = flat[start : start + SNIPPET]
    text = Text(("…" if start else "") + piece + ("…" if start + SNIPPET < len(flat) else ""), style="dim")
    text.highlight_words(words, style="bold not dim", case_sensitive=False)
    return text


def ending(console: Console, report: dict[str, Any], home: Path, seconds: float) -> None:
    """Say how long it all took, and what a user does next."""
    totals = report["pipelines"].values()
    console.print()
    if sum(total["done"] + total["removed"] for total in totals) == 0:
        console.print(f"nothing changed since the last run; all in {seconds:.1f} s", style="bold green")
    else:
        console.print(f"all in {seconds:.1f} s; run it again and see what is left to do", style="bold green")
    quarantined = sum(total["quarantined"] for total in totals)
    if quarantined:
        command = f"tenire --home {os.path.relpath(home)} failed"
        console.print(f"{quarantined} items could not be used; `{command}` says why", style="yellow", markup=False)
    console.print("on documents of yours: make demo CORPUS=~/documents", style="dim", markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
