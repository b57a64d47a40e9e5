"""Everything but embedding: real HTML from the disk to passages in the engine.

Two figures, in turns so that both see the same machine. ``prepare`` alone says what a
core does. The pipeline is the real one up to the embedder: the listing, batches, room
in the byte budget, worker processes and the way back of the passages; its CPU seconds
are those of the engine and its workers together, without their start.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil
from _common import cores, report, spread

from tenire.app.config_schema import DocumentsPipeline
from tenire.app.document_settings import cleaning_of, cutting_of
from tenire.concurrency import ConcurrencyManager
from tenire.documents.prepare import PrepareOptions, prepare
from tenire.pipeline.chunks import batches
from tenire.pipeline.files import FileSource
from tenire.pipeline.lister import Work
from tenire.pipeline.room import Room
from tenire.protocols import Document, SourceFile

PACKAGES = ("postgresql-doc-17", "python3.13-doc", "python-django-doc", "php-doc")
"""Debian's manuals; downloaded by the ordinary package client, unpacked, not installed."""

WORKERS = 2
_BYTES_HELD_PER_BYTE = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="HTML to read instead of Debian's manuals")
    parser.add_argument("--bytes", type=int, default=24_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--embedder", default="minilm", help="for whom texts are cut: minilm counts tokens")
    parser.add_argument("--no-language", action="store_true", help="do not find out the language of texts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "html"
        found = options.folder or unpacked(Path(temporary))
        files, size = sample(found, folder, size=options.bytes)
        listed = [file for file in FileSource([str(folder)]).walk() if isinstance(file, SourceFile)]
        pipeline = DocumentsPipeline(source=(), language=not options.no_language)
        how = PrepareOptions(cleaning=cleaning_of(pipeline), cutting=cutting_of(pipeline, options.embedder))
        alone: list[float] = []
        walls: list[float] = []
        cpus: list[float] = []
        chunks = asyncio.run(rounds(folder, listed, how, options.rounds, alone, walls, cpus))
        megabytes = size / 1e6
        report(
            "prepare",
            files=files,
            megabytes=round(megabytes, 1),
            chunks=chunks,
            cores=cores(),
            embedder=options.embedder,
            language=not options.no_language,
            workers=WORKERS,
            prepare_mb_per_cpu_s=spread([megabytes / seconds for seconds in alone], 1),
            pipeline_mb_per_cpu_s=spread([megabytes / seconds for seconds in cpus], 1),
            pipeline_mb_per_s=spread([megabytes / seconds for seconds in walls], 1),
        )


async def rounds(
    folder: Path,
    listed: list[SourceFile],
    options: PrepareOptions,
    count: int,
    alone: list[float],
    walls: list[float],
    cpus: list[float],
) -> int:
    """Take turns; return the number of passages."""
    chunks = 0
    async with ConcurrencyManager(cpu=WORKERS) as manager:
        await through(manager, folder, options)  # starts the workers, and has them import their parsers
        for _ in range(count):
            seconds, expected = await asyncio.to_thread(alone_once, listed, options)
            alone.append(seconds)
            begun, used = time.perf_counter(), cpu_seconds()
            chunks = await through(manager, folder, options)
            walls.append(time.perf_counter() - begun)
            cpus.append(cpu_seconds() - used)
            assert chunks == expected, (chunks, expected)
    return chunks


def alone_once(listed: list[SourceFile], options: PrepareOptions) -> tuple[float, int]:
    """Prepare all files here; return the CPU seconds, those of parsers' own threads too, and the number of passages."""
    begun = time.process_time()
    made = prepare(listed, options)
    return time.process_time() - begun, sum(len(each.passages) for each in made if isinstance(each, Document))


async def through(manager: ConcurrencyManager, folder: Path, options: PrepareOptions) -> int:
    """Send a folder through the pipeline as far as the embedder; return the number of passages."""
    room = Room(manager.data_manager, pipeline="default", places=24)
    chunks = 0

    async def prepared(files: list[SourceFile], held: object) -> None:
        nonlocal chunks
        made = await manager.submit(prepare, files, options, {}, on="process", name="prepare")
        chunks += sum(len(each.passages) for each in made if isinstance(each, Document))
        await held.aclose()  # type: ignore[attr-defined]

    try:
        async with asyncio.TaskGroup() as tasks:
            work = (Work(file) for file in FileSource([str(folder)]).walk() if isinstance(file, SourceFile))
            for batch in batches(work):
                files = [item.file for item in batch]
                held = await room.take(sum(file.size for file in files) * _BYTES_HELD_PER_BYTE)
                tasks.create_task(prepared(files, held))
    finally:
        await room.aclose()
    return chunks


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its workers."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def unpacked(work: Path) -> Path:
    """Download and unpack the manuals."""
    run = partial(subprocess.run, cwd=work, capture_output=True, check=False)
    for package in PACKAGES:
        run(["apt-get", "download", package])
    for archive in sorted(work.glob("*.deb")):
        run(["dpkg-deb", "-x", str(archive), str(work / "unpacked")])
    if not (work / "unpacked").is_dir():
        raise SystemExit("Debian's packages are out of reach; name a folder of HTML with --folder")
    return work / "unpacked"


def sample(found: Path, folder: Path, *, size: int) -> tuple[int, int]:
    """Copy pages of each top folder in equal parts; return how many, and their bytes."""
    groups: dict[str, list[Path]] = {}
    base = found / "usr/share/doc" if (found / "usr/share/doc").is_dir() else found
    for path in sorted(base.rglob("*.html")):
        if path.is_file() and not path.is_symlink():
            groups.setdefault(path.relative_to(base).parts[0], []).append(path)
    files = copied = 0
    for name, paths in groups.items():
        random.Random(1).shuffle(paths)
        part = 0
        for number, path in enumerate(paths):
            if part + path.stat().st_size > size / len(groups):
                break
            target = folder / name / f"{number}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            part += target.stat().st_size
            files += 1
        copied += part
    return files, copied


if __name__ == "__main__":
    main()
