"""Run the benchmarks in ``benchmarks/``, one process each; words on the command line choose among them.

What begins with a dash, and all after it, is handed on to each of them: ``quota_share --minutes 2``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(words: list[str]) -> int:
    """Run each chosen benchmark; return 1 if one failed, or if none was chosen."""
    start = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    words, options = words[:start], words[start:]
    files = [
        file
        for file in sorted((ROOT / "benchmarks").glob("*.py"))
        if not file.name.startswith("_") and (not words or any(word in file.stem for word in words))
    ]
    failed = []
    for file in files:
        print(f"\n== {file.stem}", flush=True)
        started = time.perf_counter()
        if subprocess.run([sys.executable, str(file), *options], cwd=ROOT, check=False).returncode != 0:
            failed.append(file.stem)
        print(f"   ({time.perf_counter() - started:.0f} s)", flush=True)
    if not files:
        print(f"error: no benchmark matches {' '.join(words) or 'benchmarks/*.py'}", file=sys.stderr)
    if failed:
        print(f"error: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not files else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
