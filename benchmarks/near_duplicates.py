"""How well near duplicates are found among real documents: precision and recall on planted edits.

Run: python benchmarks/near_duplicates.py [FOLDER...]

Documents are the text and HTML files below the folders (default: ``/usr/share/doc`` and
the packages of this Python). Planted, for each of up to 600 of them:

* copies with 1, 3, 5 and 10 % of the words replaced, taken out or added;
* one with its paragraphs in another order, one with another header and footer, one with
  all of that and 5 % of its words changed;
* another version with different content: 20 and 40 % of its words are others, in one
  piece or in paragraphs out of other documents.

Everything goes through the same decision as a run's: a ledger on disk, originals first.
An original that is taken for another one counts as wrong too, unless nine of ten of its
words really are the same. Texts of fewer than 40 words are only compared byte for byte,
and are left out.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _common import report

from tenire.documents.near_duplicates import signature
from tenire.documents.prepare import PrepareOptions, prepare
from tenire.pipeline.near_duplicates import stand_ins
from tenire.protocols import Document, Findings, SourceFile
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, DocumentRow, DoneSource, Run

THRESHOLD = 0.9
ORIGINALS = 600
WORD = re.compile(r"(\w+)")
FOLDERS = [Path("/usr/share/doc"), *(Path(path) for path in sys.path if path.endswith("site-packages"))]


class Planter:
    """Makes copies and other versions of texts."""

    def __init__(self, texts: list[str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.texts = texts
        self.words = [word for text in self.rng.sample(texts, min(200, len(texts))) for word in WORD.findall(text)]

    def some(self, count: int) -> str:
        """Return so many words of these texts."""
        return " ".join(self.rng.choices(self.words, k=count))

    def edited(self, text: str, share: float) -> str:
        """Replace, take out or add a share of the words."""
        parts = WORD.split(text)
        places = range(1, len(parts), 2)
        for place in self.rng.sample(places, max(1, round(share * len(places)))):
            kind = self.rng.random()
            parts[place] = self.some(1) if kind < 0.6 else "" if kind < 0.8 else f"{parts[place]} {self.some(1)}"
        return "".join(parts)

    def reordered(self, text: str) -> str:
        """Put the paragraphs in another order."""
        paragraphs = text.split("\n\n")
        self.rng.shuffle(paragraphs)
        return "\n\n".join(paragraphs)

    def framed(self, text: str) -> str:
        """Put another header before it and another footer behind it."""
        count = max(2, min(40, len(WORD.findall(text)) // 25))
        return f"{self.some(count)}\n\n{text}\n\n{self.some(count)}"

    def block(self, text: str, share: float) -> str:
        """Replace a share of the words in one piece."""
        parts = WORD.split(text)
        count = round(share * (len(parts) // 2))
        first = self.rng.randrange(len(parts) // 2 - count + 1)
        for place in range(first, first + count):
            parts[2 * place + 1] = self.some(1)
        return "".join(parts)

    def mixed(self, text: str, share: float) -> str:
        """Replace paragraphs by others until that share of the words has gone."""
        paragraphs = text.split("\n\n")
        left = round(share * len(WORD.findall(text)))
        for place in self.rng.sample(range(len(paragraphs)), len(paragraphs)):
            if left <= 0:
                break
            size = len(WORD.findall(paragraphs[place]))
            left -= size
            paragraphs[place] = " ".join(WORD.findall(self.rng.choice(self.texts))[:size])
        return "\n\n".join(paragraphs)


class Index:
    """The decision of a run, with a ledger of its own."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(Home(folder))
        self.run = Run(1, "bench", "recipe", 0.0, 0)
        self.count = 0
        self.seconds = 0.0

    def ask(self, text: str, *, keep: bool) -> str | None:
        """Return the id of the document that stands for a text; keep it otherwise, if asked to."""
        self.count += 1
        path, number = f"/d/{self.count}", f"d{self.count}"
        document = Document(
            number, SourceFile(path, 1, 1), "h", "", 1, (), findings=Findings(signature=signature(text))
        )
        started = time.process_time()
        found = stand_ins(self.run, [document], self.ledger.near, threshold=THRESHOLD, changing={path})
        self.seconds += time.process_time() - started
        if number in found:
            return found[number][0]
        if keep:
            self.ledger.batches.apply(
                Change(
                    "bench",
                    "recipe",
                    done=(DoneSource(path, 1, 1, "h", number, racy=False),),
                    add=(DocumentRow(number, 1, 1, ""),),
                    signatures={number: document.findings.signature},
                )
            )
        return None


def main() -> None:
    """Print what was found of what was planted, and what was found by mistake."""
    texts = documents([Path(folder) for folder in sys.argv[1:]] or FOLDERS)
    planter = Planter(texts, seed=5)
    size = sum(map(len, texts))
    started = time.process_time()
    for text in texts:
        signature(text)
    rate = size / 1e6 / (time.process_time() - started)
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder))
        kept: dict[str, str] = {}
        right = Counter[str]()
        asked = Counter[str]()
        wrong = Counter[str]()
        for text in texts:
            found = index.ask(text, keep=True)
            if found is None:
                kept[f"d{index.count}"] = text
            elif dice(text, kept[found]) >= THRESHOLD - 0.03:
                right["real ones"] += 1
            else:
                wrong["real ones"] += 1
        chosen = planter.rng.sample(sorted(kept.items()), min(ORIGINALS, len(kept)))
        copies = {
            **{
                f"{share:.0%} of the words": lambda text, share=share: planter.edited(text, share)
                for share in (0.01, 0.03, 0.05, 0.1)
            },
            "other order": planter.reordered,
            "other frame": planter.framed,
            "all, and 5 %": lambda text: planter.framed(planter.reordered(planter.edited(text, 0.05))),
        }
        others = {
            "20 % in one piece": lambda text: planter.block(text, 0.2),
            "20 % of paragraphs": lambda text: planter.mixed(text, 0.2),
            "40 % in one piece": lambda text: planter.block(text, 0.4),
            "40 % of paragraphs": lambda text: planter.mixed(text, 0.4),
        }
        for number, text in chosen:
            for kind, plant in copies.items():
                asked[kind] += 1
                found = index.ask(plant(text), keep=False)
                if found == number or (found is not None and dice(plant(text), kept[found]) >= THRESHOLD - 0.03):
                    right[kind] += 1
                elif found is not None:
                    wrong[kind] += 1
            for kind, plant in others.items():
                wrong[kind] += index.ask(plant(text), keep=False) is not None
        index.ledger.close()
    hits, misses = sum(right[kind] for kind in asked), sum(wrong.values())
    report(
        "near_duplicates",
        documents=len(texts),
        megabytes=round(size / 1e6, 1),
        precision=round(hits / (hits + misses), 4),
        recall=round(hits / sum(asked.values()), 4),
        found={kind: round(right[kind] / count, 3) for kind, count in asked.items()},
        taken_for_copies={kind: round(wrong[kind] / len(chosen), 3) for kind in others},
        real_near_copies=right["real ones"],
        real_mistakes=wrong["real ones"],
        signatures_mb_s=round(rate),
        lookup_ms=round(index.seconds / index.count * 1e3, 2),
    )


def dice(one: str, other: str) -> float:
    """Return the exact share of words in common."""
    left, right = (Counter(WORD.findall(text.lower())) for text in (one, other))
    return 2 * (left & right).total() / (left.total() + right.total())


def documents(folders: list[Path]) -> list[str]:
    """Return texts of real documents, each once, as a run would have them."""
    options = PrepareOptions()
    names = (".html", ".md", ".rst", ".txt", "copyright", "README")
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.name.endswith(names))
    random.Random(1).shuffle(files)
    texts: dict[str, None] = {}
    for file in files:
        if len(texts) >= 3000 or not file.is_file():
            continue
        status = file.stat()
        if not 300 <= status.st_size <= 300_000:
            continue
        (found,) = prepare([SourceFile(str(file), status.st_size, status.st_mtime_ns)], options)
        if isinstance(found, Document):
            text = "\n\n".join(passage.text for passage in found.passages)
            if len(WORD.findall(text)) >= 40:
                texts[text] = None
    return list(texts)


if __name__ == "__main__":
    main()
