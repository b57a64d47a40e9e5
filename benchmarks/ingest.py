"""Tenire's ingest against a script that does only that, and against LlamaIndex; same files, model and store.

Every side is a process from its start to its end, the sides take turns in each round, and each starts
at the lowest priority, which is where Tenire's workers run anyway: on a machine that others use too,
a side at a higher one would be measured against them. What counts is text a second, since the sides
do not cut pages into quite the same passages.

    python benchmarks/ingest.py [--bytes N] [--rounds N] [--peer [PYTHON]] [--server]

Sides: ``script``, a good engineer's evening (``_plain_ingest.py``) with its own batches for the model;
``script_sorted``, the same with Tenire's embedder, which sorts passages by length; ``llama_index``
with ``--peer``: LlamaIndex's ``IngestionPipeline`` with that embedder too. Without a Python of its own
its environment is made once, from ``requirements/peers.txt``. With ``--server`` Tenire and the scripts
keep passages on a private PostgreSQL server that waits for its disk; the scripts copy them there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from _common import Usage, cores, report, spread

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
PEERS = ROOT / ".venv-peers"

from postgres_cluster import Cluster, unavailable  # noqa: E402 - from scripts/


def files(folder: Path, size: int) -> int:
    """Copy about so many bytes of the demo's corpus, evenly; return the number of files."""
    from corpus import files_below, prepare

    corpus = prepare(ROOT / ".demo" / "corpus", None, lambda line: print(line, file=sys.stderr))
    found = [file for part in corpus.parts for source in part.sources for file in files_below(Path(source))]
    random.Random(0).shuffle(found)
    copied = number = 0
    for file in found:
        if copied >= size:
            break
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        copied += file.stat().st_size
        number += 1
    return number


def last(words: list[str]) -> dict[str, Any]:
    """Run a side at the lowest priority, as a batch job, and return the JSON of its last line."""
    lowest = ["nice", "-n", "19"] if shutil.which("nice") else []
    if shutil.which("chrt"):
        lowest += ["chrt", "-b", "0"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*lowest, *words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def tenire(folder: Path, work: Path, store: str | None) -> dict[str, Any]:
    """Ingest with Tenire."""
    words = [sys.executable, "-m", "tenire", "ingest", str(folder), "--embedder", "minilm"]
    words += [] if store is None else ["--store", store]
    return last([*words, "--home", str(work / "home"), "--json", "--quiet"])


def stored(work: Path) -> dict[str, int]:
    """Return what Tenire's store holds."""
    status = last([sys.executable, "-m", "tenire", "status", "--home", str(work / "home"), "--json"])
    return {"passages": status["chunks"], "text_bytes": status["text_bytes"]}


def peer_python() -> str:
    """Return the Python of the peer's environment, made if needed."""
    # nltk, which LlamaIndex reads its stop words with, refuses files that are linked into a cache.
    environment = os.environ | {"UV_LINK_MODE": "copy"}
    subprocess.run(["sh", "scripts/env.sh", "peers", str(PEERS)], cwd=ROOT, check=True, env=environment)
    return str(PEERS / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def one_round(
    folder: Path, sides: dict[str, list[str]], first: int, cluster: Cluster | None
) -> dict[str, dict[str, float]]:
    """Let every side ingest once, each time another one first; return text bytes a second, of wall and of CPU."""
    names = ["tenire", *sides]
    names = names[first % len(names) :] + names[: first % len(names)]
    speeds = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="tenire-ingest-") as temporary:
            work = Path(temporary)
            store = None if cluster is None else cluster.database("passages")
            with Usage() as usage:
                if name == "tenire":
                    tenire(folder, work, store)
                    told: dict[str, Any] = {}
                else:
                    told = last([*sides[name], str(folder), store or str(work / "store"), *sides_way(name)])
            told = told or stored(work)
        speeds[name] = {
            "wall": told["text_bytes"] / usage.wall,
            "cpu": told["text_bytes"] / usage.cpu,
            "passages": told["passages"],
            "wall_s": usage.wall,
        }
        print({"side": name, **{key: round(value, 1) for key, value in speeds[name].items()}}, file=sys.stderr)
    return speeds


def sides_way(name: str) -> list[str]:
    """Return what a side is told beside its folders."""
    return {"script": ["own"], "script_sorted": ["embedder"]}.get(name, [])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bytes", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", nargs="?", const="", help="measure LlamaIndex too; a Python that has it")
    parser.add_argument("--server", action="store_true", help="keep passages on a private PostgreSQL server")
    options = parser.parse_args()
    if options.server and (options.peer is not None or unavailable()):
        raise SystemExit(unavailable() or "--peer has no way to a server here")
    script = [sys.executable, str(ROOT / "benchmarks" / "_plain_ingest.py")]
    sides = {"script": script, "script_sorted": script}
    if options.peer is not None:
        python = options.peer or peer_python()
        sides["llama_index"] = [python, str(ROOT / "benchmarks" / "_llama_index_ingest.py")]
    with (
        tempfile.TemporaryDirectory(prefix="tenire-ingest-") as temporary,
        Cluster(durable=True) if options.server else nullcontext() as cluster,
    ):
        folder = Path(temporary) / "files"
        number = files(folder, options.bytes)
        rounds = [one_round(folder, sides, place, cluster) for place in range(options.rounds)]
    report(
        "ingest_server" if options.server else "ingest",
        cores=cores(),
        files=number,
        passages={name: rounds[0][name]["passages"] for name in rounds[0]},
        wall_s={name: spread([each[name]["wall_s"] for each in rounds], 1) for name in rounds[0]},
        ratio={name: spread([each["tenire"]["wall"] / each[name]["wall"] for each in rounds], 2) for name in sides},
        ratio_cpu={
            name: round(median(each["tenire"]["cpu"] / each[name]["cpu"] for each in rounds), 2) for name in sides
        },
    )


if __name__ == "__main__":
    main()
