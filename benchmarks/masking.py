"""How fast personal data is masked, kind by kind, in the documents of this machine; one core.

Run: python benchmarks/masking.py [FOLDER]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from _common import report

from tenire.documents.pii import KINDS, mask

SIZE = 10_000_000


def main() -> None:
    """Print megabytes a second of each kind, and of all of them together."""
    texts = read(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/doc"))
    size = sum(map(len, texts)) / 1e6
    rates, counts = {}, {}
    for name, kinds in {**{kind: [kind] for kind in KINDS}, "all": list(KINDS)}.items():
        seconds = []
        for _ in range(3):
            started = time.process_time()
            found = [mask(text, kinds)[1] for text in texts]
            seconds.append(time.process_time() - started)
        rates[name] = round(size / min(seconds))
        counts[name] = sum(sum(each.values()) for each in found)
    report("masking", documents=len(texts), megabytes=round(size, 1), mb_s=rates, found=counts)


def read(folder: Path) -> list[str]:
    """Return texts, up to ``SIZE`` characters in all."""
    texts: list[str] = []
    for file in sorted(folder.rglob("*")):
        if sum(map(len, texts)) >= SIZE:
            break
        if file.is_file():
            try:
                texts.append(file.read_text(encoding="utf-8")[: SIZE // 20])
            except (OSError, UnicodeDecodeError):
                continue
    return texts


if __name__ == "__main__":
    main()
