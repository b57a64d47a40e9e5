from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_client_that_nobody_asks_for_is_not_executed() -> None:
    code = """
import sys
from tenire.vectors.lance_import import import_lancedb
lancedb = import_lancedb()
print(hasattr(lancedb, "connect"), any(name.startswith("lance_namespace_urllib3_client.api.") for name in sys.modules))
"""
    assert run(code) == "True False"


def test_who_asks_for_the_client_gets_it_whole() -> None:
    pytest.importorskip("lance_namespace_urllib3_client", reason="this LanceDB brings no such client")
    code = """
from tenire.vectors.lance_import import import_lancedb
import_lancedb()
import lance_namespace_urllib3_client as client
from lance_namespace_urllib3_client import ApiClient
print(client.ApiClient is ApiClient, client.__version__ != "", type(client).__name__)
"""
    assert run(code) == "True True module"


def test_a_lancedb_that_is_there_already_is_left_as_it_is() -> None:
    code = """
import lancedb
from tenire.vectors.lance_import import import_lancedb
print(import_lancedb() is lancedb)
"""
    assert run(code) == "True"


def test_an_index_over_passages_that_are_alike_is_built_in_silence() -> None:
    code = """
import tempfile
from pathlib import Path
import numpy as np
from tenire.vectors.lance_table import LanceTable
count = 20_000
vectors = np.ones((count, 4), np.float32)
vectors[:10, 0] = 0
columns = {name: range(count) for name in ("key", "ordinal", "start", "stop")}
columns |= {name: [name] * count for name in ("document", "batch", "source")}
columns |= {"text_hash": [bytes(32)] * count, "text_z": [b""] * count, "place": [None] * count, "vector": vectors}
with tempfile.TemporaryDirectory() as folder:
    table = LanceTable(Path(folder), 4)
    table.write(columns, [])
    table.build_index()
    print(table.state().indexed)
"""
    environment = {name: value for name, value in os.environ.items() if name != "LANCEDB_LOG"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout.strip(), done.stderr) == ("20000", "")
