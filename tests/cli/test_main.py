from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tenire.errors import ConfigError, EmbedderMismatchError, HomeBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import App, Run

    Tenire = Callable[..., Run]


def python(*words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *words], capture_output=True, check=False, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


def test_the_version_is_told_without_loading_the_parser() -> None:
    code = (
        "import sys; from tenire.cli import main; main(['--version']);"
        "print('typer' in sys.modules, 'rich' in sys.modules)"
    )
    done = python("-c", code)
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("tenire ")
    assert lines[1] == "False False"


COMMANDS = (
    "ingest", "search", "run", "status", "failed", "retry", "why", "pause", "resume", "cancel", "priority",
    "dashboard", "gui", "top", "verify", "compact", "doctor",
)  # fmt: skip


def test_help_lists_the_commands(tenire: Tenire) -> None:
    done = tenire("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_the_common_options(tenire: Tenire, command: str) -> None:
    done = tenire(command, "--help")
    assert done.code == 0
    for option in ("--home", "--json", "--quiet", "--verbose", "--version"):
        assert option in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected a command"),
        (("serch",), "no such command 'serch'"),
        (("search",), "missing argument 'QUERY'"),
        (("search", "x", "--bogus"), "no such option"),
        (("search", "x", "-k", "many"), "-k"),
        (("search", "x", "-k", "0"), "-k must be a positive whole number, got 0"),
        (("search", "x", "-k", "-3"), "got -3"),
        (("search", "x", "--mode", "fuzzy"), 'got "fuzzy"'),
        (("search", " "), "QUERY must be a text"),
        (("search", "x", "--home", ""), "--home must be a directory"),
        (("ingest",), "missing argument 'PATH"),
        (("ingest", "not-there"), "not-there"),
        (("ingest", ""), "PATH"),
        (("ingest", ".", "--embedder", "minilmm"), 'did you mean "minilm"'),
        (("ingest", ".", "--store", "mysql://u:pw@h/d"), "must look like postgresql://"),
        (("run",), "tenire.toml: no such file"),
        (("run", "other.toml"), "other.toml: no such file"),
        (("run", "."), "got a directory"),
        (("retry",), "neither"),
        (("retry", "1", "--all"), "both"),
    ],
)
@pytest.mark.parametrize("as_json", ["before", "after", "not"])
def test_a_mistake_is_one_message_exit_code_2_and_no_trace(
    tenire: Tenire, tmp_path: Path, words: tuple[str, ...], message: str, as_json: str
) -> None:
    words = {"before": ("--json", *words), "after": (*words, "--json"), "not": words}[as_json]
    done = tenire(*words)
    assert done.code == 2
    if as_json == "not":
        assert done.out == ""
        assert message in done.err
        assert done.err.startswith("error: ")
        assert all(line.startswith(("error: ", "hint: ")) for line in done.err.splitlines())
    else:
        assert set(done.last) == {"error"}
        assert set(done.last["error"]) == {"type", "message", "hint"}
        assert message in done.last["error"]["message"]
    assert "Traceback" not in done.out + done.err
    assert "pw@" not in done.out + done.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong", hint="do this"), 2),
        (EmbedderMismatchError("other", stored="a", asked="b"), 2),
        (StoreError("broken"), 1),
        (HomeBusyError("busy", pid=42), 1),
        (OSError(28, "No space left on device", "ledger.db"), 1),
        (RuntimeError("a bug"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_its_shape(tenire: Tenire, app: App, error: Exception, code: int) -> None:
    def status(home: Path) -> None:
        raise error

    app.put("inspect", status=status)
    done = tenire("status", "--json")
    assert done.code == code
    assert done.last["error"]["type"] == type(error).__name__
    assert done.err == ""


def test_a_bug_asks_for_a_report_and_shows_its_traceback_only_when_asked(tenire: Tenire, app: App) -> None:
    def status(home: Path) -> None:
        raise ZeroDivisionError("oops")

    app.put("inspect", status=status)
    done = tenire("status")
    assert done.code == 1
    assert "report" in done.err
    assert "trace: " not in done.err
    assert "trace: Traceback" in tenire("--verbose", "status").err
    assert "trace: Traceback" in tenire("status", "--verbose").err


def test_an_interrupt_anywhere_is_exit_code_130(tenire: Tenire, app: App) -> None:
    def status(home: Path) -> None:
        raise KeyboardInterrupt

    app.put("inspect", status=status)
    assert tenire("status").code == 130
    assert tenire("status", "--json").last["error"]["type"] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        (("status",), None, ".tenire"),
        (("status",), "", ".tenire"),
        (("status",), "from-env", "from-env"),
        (("status", "--home", "after"), "from-env", "after"),
        (("--home", "before", "status"), "from-env", "before"),
        (("--home", "before", "status", "--home=after"), None, "after"),
    ],
)
def test_the_home_comes_from_the_option_then_the_variable_then_the_default(
    tenire: Tenire,
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    variable: str | None,
    expected: str,
) -> None:
    seen = []

    def status(home: Path) -> dict[str, object]:
        seen.append(home)
        return {"running": False, "pipelines": {}, "documents": 0, "chunks": 0, "store_bytes": 0}

    app.put("inspect", status=status)
    if variable is not None:
        monkeypatch.setenv("TENIRE_HOME", variable)
    assert tenire(*words).code == 0
    assert seen == [Path(expected)]


def test_a_home_that_is_a_file_is_refused(tenire: Tenire, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = tenire("status", "--home", "file")
    assert done.code == 2
    assert '"file"' in done.err


def test_words_after_two_dashes_are_no_options(tenire: Tenire, app: App) -> None:
    seen = []

    def search(home: Path, query: str, **options: object) -> object:
        seen.append(query)
        raise StoreError("stop here")

    app.put("search", search=search)
    done = tenire("search", "--", "--json")
    assert seen == ["--json"]
    assert done.out == ""
    assert done.err.startswith("error: stop here")


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipes")
def test_a_reader_that_leaves_early_ends_the_output_quietly() -> None:
    code = (
        "import sys, types; fake = types.ModuleType('tenire.app.inspect');"
        "item = types.SimpleNamespace(id='q', source='s' * 1000, pipeline='p', stage='read', error='e', attempts=1,"
        " rule='');"
        "fake.failed = lambda home: [item] * 300;"
        "sys.modules['tenire.app.inspect'] = fake;"
        "from tenire.cli import main; sys.exit(main(['failed']))"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names there are Unicode")
def test_a_name_that_is_not_utf8_is_told_and_its_json_is_utf8() -> None:
    words = [os.fsencode(sys.executable), b"-c", b"from tenire.cli import main; main()", b"ingest", b"a\xff\x1b"]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert b"\\udcff" in done.stderr
    assert b"\x1b" not in done.stderr
    done = subprocess.run([*words, b"--json"], capture_output=True, check=False, timeout=60)
    assert "\\\\udcff" in done.stdout.decode("utf-8")
