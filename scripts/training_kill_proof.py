"""Kills a training at random moments and proves that its weights do not show it in the end.

    python scripts/training_kill_proof.py [--kills 10] [--seed 1] [--embedder static]

A model learns to tell the modules of Python's own library apart by their docstrings. The same is
done in a second home, whose engine is killed with SIGKILL again and again, at moments spread over
the time that it takes; a last run goes to its end. Then both models must be the same, bit for bit,
and label the same rows alike; no process of the engine may be left two seconds after a kill.
With scikit-learn's ``LogisticRegression`` on the same rows, it also says how good both are: ours may be worse by
no more than one standard error of what is measured.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tenire.ml import ModelRegistry

ORPHANS_GONE_S = 2.0
MODULES = ("asyncio", "email", "http", "logging", "tarfile", "turtle", "unittest", "xml")
CONFIG = """
[tenire]
home = "home"
cpu = 2

[pipelines.modules]
recipe = "classify"
train = "../train.jsonl"
test = "../test.jsonl"
source = "../rows.jsonl"
output = "labels.jsonl"
embedder = "{embedder}"
checkpoint_s = 0.1
"""


def docstrings(module: str) -> list[str]:
    """Return the longer docstrings of a module or package of Python's library."""
    base = Path(sysconfig.get_path("stdlib")) / module
    files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    found: dict[str, None] = {}
    for file in files:
        if "test" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                if text and len(text) > 40:
                    found[text] = None
    return list(found)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    command = [sys.executable, "-m", "tenire", "run", "--quiet", "tenire.toml"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


def finished(folder: Path) -> float:
    """Run to the end; return the seconds that it took."""
    began = time.monotonic()
    if start(folder).wait() != 0:
        sys.exit(f"error: the run in {folder} failed")
    return time.monotonic() - began


def killed(folder: Path, after: float) -> bool:
    """Run, and kill after some seconds; return whether the run was still going on."""
    process = start(folder)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        pass
    else:
        return False
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(children, timeout=ORPHANS_GONE_S)
    if left:
        sys.exit(f"error: {len(left)} processes are left {ORPHANS_GONE_S:g} s after a kill")
    return True


def plain_accuracy(rows: list[dict[str, Any]], embedder: str) -> float:
    """Return what a plain script reaches with the same rows, every fifth for the test."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from tenire.vectors import load_embedder

    vectors = load_embedder(embedder).embed([row["text"] for row in rows])
    labels, test = np.array([row["label"] for row in rows]), np.arange(len(rows)) % 5 == 0
    model = LogisticRegression(C=10, max_iter=1000, class_weight="balanced").fit(vectors[~test], labels[~test])
    return float(model.score(vectors[test], labels[test]))


def main() -> None:
    """Prove it, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--embedder", default="static")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rows = [{"text": text, "label": module} for module in MODULES for text in docstrings(module)]
    chance.shuffle(rows)
    lines = [json.dumps({"id": number, **row}) + "\n" for number, row in enumerate(rows)]
    with tempfile.TemporaryDirectory(prefix="tenire-training-") as place:
        top = Path(place)
        (top / "test.jsonl").write_text("".join(lines[::5]))
        (top / "train.jsonl").write_text("".join(line for place, line in enumerate(lines) if place % 5))
        (top / "rows.jsonl").write_text("".join(lines[:500]))
        whole, broken = top / "whole", top / "broken"
        for folder in (whole, broken):
            folder.mkdir()
            (folder / "tenire.toml").write_text(CONFIG.format(embedder=options.embedder))
        seconds = finished(whole)
        kills = 0
        while kills < options.kills:
            if killed(broken, chance.uniform(0.1, 1.0) * seconds):
                kills += 1
            else:  # it came to its end between two kills: from the start
                shutil.rmtree(broken / "home")
                (broken / "labels.jsonl").unlink()
        finished(broken)
        models = [ModelRegistry(folder / "home").open("modules") for folder in (whole, broken)]
        same = [model.read("head.npz") for model in models]
        alike = (whole / "labels.jsonl").read_bytes() == (broken / "labels.jsonl").read_bytes()
        accuracy = models[0].manifest.metrics["accuracy"]
    plain = plain_accuracy(rows, options.embedder)
    noise = math.sqrt(plain * (1 - plain) / len(lines[::5]))
    ok = same[0] == same[1] and alike and accuracy >= plain - noise
    report: dict[str, Any] = {
        "rows": len(rows),
        "classes": len(MODULES),
        "kills": kills,
        "same_weights": same[0] == same[1],
    }
    report |= {"same_labels": alike, "accuracy": accuracy, "plain_accuracy": round(plain, 4), "ok": ok}
    print(json.dumps(report))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
