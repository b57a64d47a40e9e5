from __future__ import annotations

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
