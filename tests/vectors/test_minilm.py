from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tenire.errors import ConfigError
from tenire.vectors import minilm_model, weights
from tenire.vectors.minilm import MiniLM
from tenire.vectors.minilm_cache import Prepared, read_prepared, write_prepared
from tenire.vectors.minilm_calibration import calibration_texts, read_calibration, shipped_folder
from tenire.vectors.minilm_graph import LINEAR_KEYS
from tenire.vectors.minilm_tokens import as_batch, plan_batches

ODD = ["", " ", "\x00\x01", "\ud800 lone", "你好，世界", "🎉" * 50, "x" * 300_000, "word " * 100_000, "plain words"]


def library_docstrings(count: int) -> list[str]:
    """Real passages that come with every Python, none of which calibration saw."""
    trees = (
        ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    )
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [
        (ast.get_docstring(node) or "")[:1500]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, documented)
    ]
    distinct = [text for text in dict.fromkeys(found) if len(text) >= 100]
    return distinct[:: len(distinct) // count][:count]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def embedder(cache: Path) -> MiniLM:
    return MiniLM(threads=2, cache=cache)


def prepared(blob: bytes) -> Prepared:
    return Prepared("int8", np.frombuffer(blob, np.uint8))


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process: a model lives as long as its process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_eight_bits_stay_close_to_float_on_real_passages(embedder: MiniLM) -> None:
    texts = library_docstrings(200)
    assert len(texts) == 200
    assert not set(texts) & set(calibration_texts())
    exact = MiniLM(threads=2, cache=None, variant="fp32")
    cosines = (embedder.embed(texts) * exact.embed(texts)).sum(1)
    assert embedder.variant == "int8"
    assert exact.variant == "fp32"
    assert cosines.mean() >= 0.995
    assert cosines.min() >= 0.98
    assert cosines.max() < 0.99999, "both ran the same model"


def test_every_string_gets_a_unit_vector(embedder: MiniLM) -> None:
    vectors = embedder.embed(ODD)
    assert vectors.shape == (len(ODD), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_no_texts_give_no_rows(embedder: MiniLM) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_rows_come_back_in_the_order_of_the_texts(embedder: MiniLM) -> None:
    texts = library_docstrings(40)
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert ((together @ alone.T).argmax(1) == np.arange(len(texts))).all()
    assert (together * alone).sum(1).min() > 0.98


def test_only_the_first_256_tokens_count(embedder: MiniLM) -> None:
    first, second = embedder.embed(["word " * 254, "word " * 254 + "something else entirely " * 50])
    assert first @ second > 0.999
    third, fourth = embedder.embed(["word " * 128, "word " * 128 + "a poem about the sea " * 20])
    assert third @ fourth < 0.95, "the file's own limit of 128 tokens is still on"


def test_related_texts_are_closer_than_unrelated_ones(embedder: MiniLM) -> None:
    query, near, far = embedder.embed(["how do I open a file?", "reading files from disk", "the weather in the Alps"])
    assert query @ near > query @ far + 0.2


def test_batches_hold_each_text_once_and_little_padding() -> None:
    lengths = [3, 256, 17, 17, 90, 255, 2, 130] * 40
    batches = plan_batches(lengths, workers=2)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded <= 1.1 * sum(lengths)
    assert 256 in {lengths[index] for index in batches[0]}
    assert max(map(len, batches)) == 32


def test_no_batch_needs_much_memory() -> None:
    # Each thread keeps what its largest batch needed in between.
    for length in range(1, 257):
        for count in (1, 7, 64, 500):
            for batch in plan_batches([length] * count, workers=2):
                assert as_batch([[1] * length] * len(batch))["ids"].size <= 1024


def test_any_texts_make_few_shapes() -> None:
    # Each shape costs memory for the life of the process.
    randomness = random.Random(1)
    shapes = set()
    for _ in range(400):
        lengths = [randomness.randint(2, 256) for _ in range(randomness.randint(1, 90))]
        for batch in plan_batches(lengths, workers=2):
            shapes.add(as_batch([[1] * lengths[index] for index in batch])["ids"].shape)
    assert len(shapes) < 50


def test_a_small_input_keeps_all_workers_busy() -> None:
    assert [len(batch) for batch in plan_batches([200] * 6, workers=2)] == [2, 2, 2]
    assert plan_batches([], workers=2) == []


def test_a_batch_is_padded_to_one_of_a_few_widths() -> None:
    assert [as_batch([[5] * length])["ids"].shape[1] for length in (1, 16, 96, 97, 200, 256)] == [
        16, 16, 96, 128, 224, 256,
    ]  # fmt: skip
    batch = as_batch([[5] * 17, [8]])
    assert batch["ids"].shape == batch["mask"].shape == (2, 32)
    assert batch["mask"].sum(1).tolist() == [17, 1]
    assert batch["ids"].sum(1).tolist() == [85, 8]


def test_the_model_is_prepared_once_with_its_licence_beside_it(embedder: MiniLM, cache: Path) -> None:
    assert embedder.variant == "int8"
    names = sorted(path.suffix for path in (cache / "models").iterdir())
    assert names == [".LICENSE", ".NOTICE", ".bin"]
    code = (
        "from pathlib import Path; from tenire.vectors import minilm_model\n"
        "minilm_model._prepare = None\n"  # would be called if the cache were not used
        f"from tenire.vectors import load_embedder; e = load_embedder('minilm', cache=Path({str(cache)!r}))\n"
        "print(e.embed(['x']).shape)"
    )
    done = run(code)
    assert done.stdout.strip() == "(1, 384)", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which pages of a file a process has")
def test_the_weights_lie_in_their_file_and_nowhere_else(embedder: MiniLM, cache: Path) -> None:
    assert embedder.variant == "int8"
    code = (
        f"from pathlib import Path; from tenire.vectors import load_embedder; cache = Path({str(cache)!r})\n"
        "load_embedder('minilm', cache=cache).embed(['x'])\n"
        "parts = Path('/proc/self/smaps').read_text().split('all-MiniLM-L6-v2')\n"
        "print(sum(int(part.split('Private_Dirty:')[1].split()[0]) for part in parts[1:]), len(parts) - 1)"
    )
    done = run(code)
    written, mapped = map(int, done.stdout.split())
    assert mapped >= 1, done.stderr
    assert written == 0, "kilobytes of weights that were copied"
    assert next((cache / "models").glob("*.bin")).stat().st_size < 40 << 20


def test_a_damaged_prepared_model_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "models" / "m.bin"
    assert write_prepared(path, prepared(b"blob" * 1000), {"m.LICENSE": b"text"})
    read = read_prepared(path)
    assert read is not None
    assert (read.variant, read.blob.tobytes()) == ("int8", b"blob" * 1000)
    assert read.blob.ctypes.data % 64 == 0, "weights are computed with where they lie"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"?", b"", b"\xff" + whole, b"{}\n", b"[]\n"):
        path.write_bytes(damaged)
        assert read_prepared(path) is None
    assert not list(path.parent.glob("*.tmp"))


def test_old_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    old, young = tmp_path / "old.tmp", tmp_path / "young.tmp"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    assert write_prepared(tmp_path / "m.bin", prepared(b"blob"), {})
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not write_prepared(tmp_path / "file" / "models" / "m.bin", prepared(b"blob"), {})


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ConfigError, match="must have SHA-256"):
        minilm_model._read_weights(tmp_path / "model.safetensors")


def test_float_is_taken_where_eight_bits_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = read_calibration(shipped_folder() / "activations.safetensors")
    assert set(shipped.ranges) == set(LINEAR_KEYS)
    saturated = lambda _batch: [-shipped.reference]  # noqa: E731
    models = iter([saturated, "float model"])
    monkeypatch.setattr(minilm_model, "compile_graph", lambda _graph, _options: next(models))
    monkeypatch.setattr(minilm_model, "build_graph", lambda *_: SimpleNamespace())
    files = weights.find_minilm()
    assert files is not None
    assert minilm_model._prepare(files, {}, None) == ("fp32", "float model")


def test_nothing_connects_and_nothing_is_written_outside_the_cache(cache: Path, tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('tried to reach the network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import sys; from pathlib import Path; from tenire.vectors import load_embedder\n"
        f"load_embedder('minilm', cache=Path({str(cache)!r})).embed(['x'])\n"
        "print([m for m in ('huggingface_hub', 'openvino_telemetry', 'torch', 'requests') if m in sys.modules])"
    )
    done = run(code, HOME=str(tmp_path), USERPROFILE=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout.strip() == "[]", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_embedders_may_come_and_go(cache: Path) -> None:
    # OpenVINO corrupts the heap when a used model is destroyed (see minilm_runtime).
    code = (
        "import gc; from pathlib import Path; from tenire.vectors.minilm import MiniLM\n"
        f"cache = Path({str(cache)!r}); texts = ['some words of a text ' * n for n in range(1, 40)]\n"
        "for threads, variant in ((2, None), (2, 'fp32'), (1, None), (2, None)):\n"
        "    MiniLM(threads=threads, cache=cache, variant=variant).embed(texts); gc.collect()\n"
        "print('done')"
    )
    done = run(code)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
