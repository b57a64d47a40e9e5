"""What ``import tenire`` costs over bare Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _common import report

HEAVY = ("numpy", "lancedb", "rich", "openvino", "pyarrow")


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    pairs = [(seconds("pass"), seconds("import tenire")) for _ in range(15)]
    listed = f"import sys, tenire; print([name for name in {HEAVY!r} if name in sys.modules])"
    heavy = subprocess.run([sys.executable, "-c", listed], check=True, capture_output=True, text=True).stdout.strip()
    report(
        "import",
        over_bare_python_ms=round(statistics.median(b - a for a, b in pairs) * 1000, 1),
        heavy_modules=heavy,
    )


if __name__ == "__main__":
    main()
