"""Kills ingesting engines at random moments and proves that nothing shows in the end.

    python scripts/kill_proof.py [--kills 20] [--files 200] [--embedder static] [--seed 1] [--server]

A folder of real files (this Python's own library), some of them in archives, is
ingested once undisturbed.
Then the same folder goes into a second home, but the engine is killed with
SIGKILL at random moments, again and again, while files are also touched, changed
and put back. A last run goes to its end. Then ``tenire verify`` must be clean, the
counts must be those of the undisturbed run, and ten searches must have the same
five best passages. With ``--server`` both homes keep their passages in databases of a private
PostgreSQL server. Two seconds after each kill no process of the engine may be
left.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import psutil
from postgres_cluster import Cluster, unavailable

import tenire

ORPHANS_GONE_S = 2.0


def command(*arguments: str, home: Path) -> dict[str, object]:
    """Run a command to its end and return its JSON."""
    words = [sys.executable, "-m", "tenire", *arguments, "--home", str(home), "--json", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def corpus(folder: Path, files: int) -> list[Path]:
    """Copy real files, smallest first after a fixed shuffle, so that every size is in it."""
    library = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in library.glob("*.py") if path.stat().st_size > 200)
    found += sorted(path for path in library.glob("[a-z]*/*.py") if path.stat().st_size > 200)
    random.Random(0).shuffle(found)
    for number, path in enumerate(found[:files]):
        target = folder / f"part{number % 7}" / f"{path.parent.name}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    copies = sorted(folder.rglob("*.py"))[:3]
    for path in copies:
        shutil.copyfile(path, folder / f"copy-of-{path.name}")
    pack(folder, found[files : 2 * files] + found[:3])
    return sorted(folder.rglob("*.py"))


def pack(folder: Path, paths: list[Path]) -> None:
    """Put files into archives, twice in a row each, so that they are small for what comes out: several slices."""
    with (
        zipfile.ZipFile(folder / "more.zip", "w", zipfile.ZIP_DEFLATED) as zipped,
        tarfile.open(folder / "more.tar.xz", "w:xz") as tarred,
    ):
        for number, path in enumerate(paths):
            text = path.read_bytes()
            if number % 2:
                zipped.writestr(f"{number}-{path.name}", text + b"\n# once more\n" + text)
            else:
                info = tarfile.TarInfo(f"{number}-{path.name}")
                info.size = 2 * len(text)
                tarred.addfile(info, io.BytesIO(text + text))
        zipped.writestr("broken.pdf", b"%PDF-1.7 and no more")


def sentences(paths: list[Path], rng: random.Random) -> list[str]:
    """Pick ten long lines of the corpus to search for."""
    lines = []
    for path in rng.sample(paths, min(len(paths), 60)):
        text = path.read_text("utf-8", "replace")
        lines += [line.strip(" #\t\"'") for line in text.splitlines() if 50 < len(line) < 100][:5]
    return rng.sample(lines, 10)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def run_and_kill(ingest: list[str], home: Path, after: float) -> tuple[bool, str]:
    """Start an ingest and kill it; return whether it was killed, and what happened."""
    command = [sys.executable, "-m", "tenire", *ingest, "--home", str(home), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as engine:
        try:
            engine.wait(after)
        except subprocess.TimeoutExpired:
            members = family(engine.pid)
            os.kill(engine.pid, signal.SIGKILL)
            engine.wait()
            gone, left = psutil.wait_procs(members[1:], timeout=ORPHANS_GONE_S)
            # A zombie has ended; only its new parent has not looked yet.
            left = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
            if left:
                raise SystemExit(f"left {ORPHANS_GONE_S} s after the kill: {left}") from None
            return True, f"killed after {after:.2f} s with {len(gone)} children"
        assert engine.stderr is not None
        if engine.returncode not in (0, 3):
            raise SystemExit(f"ingest ended with {engine.returncode}: {engine.stderr.read().decode()}")
        return False, f"ended by itself before {after:.2f} s"


def disturb(paths: list[Path], rng: random.Random) -> None:
    """Touch one file, and change another and put it back, as people do between two runs."""
    touched, changed = rng.sample(paths, 2)
    os.utime(touched)
    original = changed.read_bytes()
    changed.write_bytes(original + b"\n# changed in between\n")
    changed.write_bytes(original)


def best(store: tenire.Store, query: str, mode: str) -> list[tuple[str, ...]]:
    """Return the five best passages with their places."""
    return [(hit.text, hit.source, *hit.also) for hit in store.search(query, k=5, mode=mode).hits]


def prove(options: argparse.Namespace, cluster: Cluster | None) -> None:
    """Run the proof, with stores in the homes or on a server."""
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="tenire-kills-") as temporary:
        base = Path(temporary)
        folder, calm, killed = base / "files", base / "calm", base / "killed"
        paths = corpus(folder, options.files)
        print(f"{len(paths)} files, {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB, seed {options.seed}")

        def ingest(home: Path) -> list[str]:
            """Return the words of an ingest into a home that is new."""
            store = ["--store", cluster.database(home.name)] if cluster is not None else []
            return ["ingest", str(folder), "--embedder", options.embedder, *store]

        started = time.perf_counter()
        command(*ingest(calm), home=calm)
        seconds = time.perf_counter() - started
        reference = command("verify", home=calm)
        print(f"undisturbed: {seconds:.1f} s, {reference}")
        kills, into_killed = 0, ingest(killed)
        while kills < options.kills:
            killed_it, what = run_and_kill(into_killed, killed, rng.uniform(0.2, seconds))
            kills += killed_it
            print(f"kill {kills}: {what}" if killed_it else what, flush=True)
            disturb(paths, rng)
            if not killed_it:
                # The home is complete now and has no moment left to hit: start over.
                shutil.rmtree(killed)
                into_killed = ingest(killed)
        command(*into_killed, home=killed)
        final = command("verify", home=killed)
        print(f"after the kills: {final}")
        if final != reference or not final["ok"]:
            raise SystemExit("the counts differ")
        with tenire.Store(calm) as reference_store, tenire.Store(killed) as store:
            for query in sentences(paths, rng):
                for mode in ("hybrid", "vector", "text"):
                    expected, got = best(reference_store, query, mode), best(store, query, mode)
                    if expected != got:
                        raise SystemExit(f"{mode} search for {query!r} differs:\n{expected}\n{got}")
        print("equal counts, equal top 5 of ten queries in three modes")


def main() -> None:
    """Run the proof; exits with 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", action="store_true", help="keep passages on a private PostgreSQL server")
    options = parser.parse_args()
    if not options.server:
        prove(options, None)
    elif unavailable():
        print(f"not done: {unavailable()}")
    else:
        with Cluster() as cluster:
            prove(options, cluster)


if __name__ == "__main__":
    main()
