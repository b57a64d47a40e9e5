"""Inside loops that other programs own, with the real programs: pytest-asyncio, and Jupyter where it is installed.

Jupyter brings more than a hundred megabytes, so it is no requirement of the tests; how it runs cells is
imitated in ``concurrency/test_loops_life.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from .conftest import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
    import asyncio
    import os
    import threading

    import pytest
    import pytest_asyncio

    import tenire

    async def double(number):
        await asyncio.sleep(0)
        return 2 * number

    @pytest_asyncio.fixture
    async def manager():
        async with tenire.ConcurrencyManager(cpu=1, memory=1 << 20) as manager:
            yield manager

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def shared():
        async with tenire.ConcurrencyManager(cpu=1, memory=1 << 20) as manager:
            yield manager

    @pytest.mark.asyncio
    async def test_on_a_loop_of_its_own(manager):
        assert await manager.submit(double, 21) == 42
        assert await manager.submit(threading.get_ident) != threading.get_ident()
        assert await manager.submit(os.getpid, on="process") != os.getpid()

    @pytest.mark.asyncio
    async def test_what_runs_at_the_end_is_waited_for(manager):
        manager.submit(asyncio.sleep, 0.01)

    @pytest.mark.asyncio(loop_scope="module")
    async def test_an_engine_that_several_tests_share(shared):
        shared.kept = shared.submit(double, 4)

    def test_while_that_loop_stands_still():
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1 << 20) as manager:
            assert manager.submit(double, 3).result(10) == 6

    @pytest.mark.asyncio(loop_scope="module")
    async def test_it_goes_on_in_another_test(shared):
        assert await shared.kept == 8
        assert await shared.submit(len, "abc") == 3
"""

CELLS = (
    """
    import asyncio, os
    import tenire

    async def double(number):
        await asyncio.sleep(0)
        return 2 * number

    manager = await tenire.ConcurrencyManager(cpu=1, memory=1 << 20).__aenter__()
    """,
    "print(await manager.submit(double, 21))",
    "handle = manager.submit(double, 4)",
    """
    print(await handle, await manager.submit(len, "abc"), await manager.submit(os.getpid, on="process") != os.getpid())
    try:
        manager.submit(double, 1).result(10)
    except RuntimeError as error:
        print("await" in str(error))
    """,
    """
    with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1 << 20) as other:
        print(other.submit(double, 3).result(10))
    """,
    "await manager.shutdown()\nprint(manager.loops.state.name)",
)


def test_under_pytest_asyncio(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio")
    (tmp_path / "test_theirs.py").write_text(textwrap.dedent(TESTS), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8"
    )
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": SOURCES, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "never retrieved" not in done.stderr


def test_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in CELLS])
    path = tmp_path / "book.ipynb"
    nbformat.write(book, path)
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    # In a process of its own: the client has a loop and sockets of its own, too.
    run = "import sys, nbclient, nbformat; b = nbformat.read(sys.argv[1], 4); "
    run += "nbclient.NotebookClient(b, timeout=120, kernel_name='python3').execute(); nbformat.write(b, sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", run, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [
        "".join(output.text for output in cell.outputs if output.output_type == "stream").strip()
        for cell in nbformat.read(path, 4).cells
    ]
    assert said == ["", "42", "", "8 3 True\nTrue", "6", "CLOSED"]
    assert nbclient.__version__
