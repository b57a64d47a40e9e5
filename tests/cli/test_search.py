from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.app.context import Context
from tenire.app.hits import SearchHit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import App, Run

    Tenire = Callable[..., Run]


Hit = partial(SearchHit, score=0.5, document="d", start=0, end=1, also=[])


@dataclass(frozen=True)
class Found:
    query: str
    mode: str
    hits: list[SearchHit]
    seconds: float = 0.0123


def searching(app: App, *hits: SearchHit) -> list[Any]:
    asked: list[Any] = []

    def search(home: Path, query: str, *, k: int, mode: str, exact: bool, where: str | None, context: int) -> Found:
        asked.append((home, query, k, mode, exact, where, context))
        return Found(query, mode, list(hits))

    app.put("search", search=search)
    return asked


def test_the_options_reach_the_search(tenire: Tenire, app: App) -> None:
    asked = searching(app)
    tenire(
        "search",
        "how to cancel",
        "-k",
        "3",
        "--mode",
        "text",
        "--exact",
        "--home",
        "h",
        "--where",
        "kind = pdf",
        "--context",
        "2",
    )
    tenire("search", "q")
    assert asked == [
        (Path("h"), "how to cancel", 3, "text", True, "kind = pdf", 2),
        (Path(".tenire"), "q", 10, "hybrid", False, None, 0),
    ]


def test_the_json_holds_the_whole_passage(tenire: Tenire, app: App) -> None:
    text = "word " * 500
    searching(app, Hit("/a/b.md", text, also=["/c.md"]))
    found = tenire("search", "word", "--json").last
    assert set(found) >= {"query", "mode", "hits", "seconds"}
    assert found["hits"][0]["text"] == text
    assert found["hits"][0]["source"] == "/a/b.md"
    assert found["hits"][0]["also"] == ["/c.md"]


def test_hits_show_rank_score_source_excerpt_and_other_places(tenire: Tenire, app: App) -> None:
    searching(
        app,
        Hit(
            "/docs/task.rst",
            "A task is cancelled by calling its cancel method.",
            score=0.912,
            also=[f"/{n}" for n in "abcde"],
        ),
        Hit("/docs/loop.rst", "A loop runs.", score=0.4),
    )
    done = tenire("search", "cancel a task")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "1  0.912  /docs/task.rst"
    assert lines[1] == "   A task is cancelled by calling its cancel method."
    assert lines[2] == "   also in /a"
    assert "   and in 2 more places" in lines
    assert "2  0.400  /docs/loop.rst" in lines
    assert "2 passages" in done.err
    assert "\x1b" not in done.out


def test_what_is_piped_is_at_most_80_columns_but_for_paths(tenire: Tenire, app: App) -> None:
    searching(app, Hit("/x", "lorem ipsum dolor sit amet " * 60))
    done = tenire("search", "dolor")
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_escape_sequences_of_documents_never_reach_the_terminal(tenire: Tenire, app: App) -> None:
    searching(
        app, Hit("/tmp/\x1b]0;owned\x07.md", "before \x1b[2J after \u202e reversed \x9b1m", also=["/\x1b[31mred"])
    )
    done = tenire("search", "after")
    for character in "\x1b\x07\x9b\u202e":
        assert character not in done.out
    assert "\\x1b[2J" in done.out


def test_names_that_are_not_utf8_are_shown_and_are_valid_json(tenire: Tenire, app: App) -> None:
    searching(app, Hit("/tmp/\udcff.md", "text \ud800"))
    assert "/tmp/\\udcff.md" in tenire("search", "text").out
    done = tenire("search", "text", "--json")
    assert done.last["hits"][0]["source"] == "/tmp/\\udcff.md"
    done.out.encode("utf-8")


def test_nothing_found_is_no_failure(tenire: Tenire, app: App) -> None:
    searching(app)
    done = tenire("search", "nothing")
    assert (done.code, done.out) == (0, "")
    assert "0 passages" in done.err
    assert tenire("search", "nothing", "--quiet").err == ""


def test_a_hit_shows_where_it_stands(tenire: Tenire, app: App) -> None:
    told = {
        "title": "Manual",
        "headings": ["Tasks", "Cancel\x1b"],
        "author": "Ann",
        "date": "2024-05",
        "language": "en",
    }
    searching(
        app,
        Hit("/a.pdf", "x", page=7, lines=[3, 9], **told),
        Hit("/b.md", "y", title="T", headings=["T"], lines=[4, 4]),
    )
    lines = tenire("search", "cancel").out.splitlines()
    assert lines[1] == "   Manual > Tasks > Cancel\\x1b, page 7, lines 3 to 9, Ann, 2024-05, en"
    assert lines[5] == "   T, line 4"


def test_a_passage_is_marked_among_its_neighbours(tenire: Tenire, app: App) -> None:
    text = "One before.\n\nThe \x1bhit\nhas two lines.\n\nOne after."
    start, end = text.index("The"), text.index("\n\nOne after")
    searching(app, Hit("/a.md", text[start:end], context=Context(text, start, end, first=3, last=5)))
    lines = tenire("search", "hit", "--context", "1").out.splitlines()
    assert lines[1:] == ["     One before.", "", "   > The \\x1bhit", "   > has two lines.", "", "", "     One after."]


def test_an_impossible_context_is_refused(tenire: Tenire, app: App) -> None:
    searching(app)
    done = tenire("search", "x", "--context", "101")
    assert done.code == 2
    assert "from 0 to 100, got 101" in done.err
