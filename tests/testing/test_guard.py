"""The guards of tests/conftest.py, proved on planted offenders in a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tenire

CONFTEST = Path(__file__).parents[1] / "conftest.py"

PLANTED = {
    "thread": (
        "import threading\n"
        "stop = threading.Event()\n"
        "def test_it():\n"
        "    threading.Thread(target=stop.wait, name='planted-thread', daemon=True).start()\n",
        "thread: planted-thread",
    ),
    "file": (
        "kept = []\ndef test_it(tmp_path):\n    kept.append((tmp_path / 'planted.txt').open('w'))\n",
        "file: .*planted.txt",
    ),
    "process": (
        "import sys\n"
        "from subprocess import PIPE, Popen\n"
        "kept = []\n"
        "def test_it():\n"
        "    kept.append(Popen([sys.executable, '-c', 'input()', 'planted-child'], stdin=PIPE))\n",
        "process: .*planted-child",
    ),
    "task": (
        "import asyncio\n"
        "kept = []\n"
        "async def main():\n"
        "    return asyncio.create_task(asyncio.sleep(9), name='planted-task')\n"
        "def test_it():\n"
        "    loop = asyncio.new_event_loop()\n"
        "    kept.append(loop.run_until_complete(main()))\n"
        "    loop.close()\n",
        "task: planted-task",
    ),
    "lost-exception": (
        "import asyncio\n"
        "async def main():\n"
        "    asyncio.get_running_loop().create_future().set_exception(KeyError('planted-error'))\n"
        "    await asyncio.sleep(0)\n"
        "def test_it():\n"
        "    asyncio.run(main())\n",
        "never retrieved[\\s\\S]*planted-error",
    ),
    "sleep": (
        "import asyncio, time\nasync def main():\n    time.sleep(0.001)\ndef test_it():\n    asyncio.run(main())\n",
        r"BlockingError: Blocking call to time\.sleep",
    ),
    "blocking-product-code": (
        "import asyncio\n"
        "from tenire.testing import ManualClock\n"
        "import tenire.errors, os\n"
        "# Code that counts as the product's: compiled under its path.\n"
        "source = 'import os\\ndef look():\\n    return os.stat(\".\")\\n'\n"
        "space = {}\n"
        "exec(compile(source, tenire.errors.__file__, 'exec'), space)\n"
        "async def main():\n"
        "    space['look']()\n"
        "def test_it():\n"
        "    asyncio.run(main())\n",
        r"BlockingError: Blocking call to os\.stat",
    ),
    "mark-without-a-reason": (
        "import pytest\n@pytest.mark.leaks_allowed\ndef test_it():\n    pass\n",
        "needs a reason",
    ),
}

EXCUSED = {
    "thread": (
        "import pytest, threading\n"
        "stop = threading.Event()\n"
        "@pytest.mark.leaks_allowed('planted on purpose')\n"
        "def test_it():\n"
        "    threading.Thread(target=stop.wait, daemon=True).start()\n"
        "def test_the_next_one_is_not_blamed():\n"
        "    pass\n"
    ),
    "sleep": (
        "import asyncio, pytest, time\n"
        "async def main():\n"
        "    time.sleep(0.001)\n"
        "@pytest.mark.blocking_allowed('planted on purpose')\n"
        "def test_it():\n"
        "    asyncio.run(main())\n"
        "def test_the_next_one_is_guarded_again():\n"
        "    with pytest.raises(BaseException, match='Blocking call'):\n"
        "        asyncio.run(main())\n"
    ),
    "sleep-on-a-fake-executor": (
        "import asyncio, time\n"
        "from tenire.testing import run\n"
        "def test_it():\n"
        "    run(lambda: asyncio.to_thread(time.sleep, 0.001))\n"
    ),
    "fixture-of-a-module": (
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def shared(tmp_path_factory):\n"
        "    with (tmp_path_factory.mktemp('x') / 'shared').open('w') as file:\n"
        "        yield file\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_it(shared, n):\n"
        "    shared.write('x')\n"
    ),
    "property": (
        "from hypothesis import given, strategies as st\n@given(st.integers())\ndef test_it(number):\n    int(number)\n"
    ),
}


def run_pytest(folder: Path, sources: dict[str, str]) -> str:
    conftest = CONFTEST.read_text(encoding="utf-8")
    # Nothing planted goes away by itself: the whole time of grace would be waited out each time.
    impatient = conftest.replace("LeakGuard()", "LeakGuard(grace_s=0.1)")
    assert impatient != conftest
    (folder / "conftest.py").write_text(impatient, encoding="utf-8")
    for name, source in sources.items():
        (folder / f"test_{name}.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nmarkers =\n    leaks_allowed(reason): x\n    blocking_allowed(reason): x\n"
    )
    package = str(Path(next(iter(tenire.__path__))).parent)
    path = os.pathsep.join((package, str(CONFTEST.parents[1])))  # the conftest imports a script of ours
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "--strict-markers",
        str(folder),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("planted"), {name: source for name, (source, _) in PLANTED.items()})


@pytest.fixture(scope="module")
def excused(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("excused"), EXCUSED)


@pytest.mark.parametrize("offence", PLANTED)
def test_a_planted_offence_is_caught(offence: str, planted: str) -> None:
    assert re.search(rf"^(FAILED|ERROR) .*test_{offence}\.py::test_it", planted, re.MULTILINE), planted
    assert re.search(PLANTED[offence][1], planted), planted


@pytest.mark.parametrize("case", EXCUSED)
def test_what_is_excused_or_clean_passes(case: str, excused: str) -> None:
    assert re.search(rf"^PASSED .*test_{case}\.py::", excused, re.MULTILINE), excused
    assert not re.search(rf"^(FAILED|ERROR) .*test_{case}\.py", excused, re.MULTILINE), excused
