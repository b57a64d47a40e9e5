"""Main text of pages: what stays, what goes, and that no page is too much."""

from __future__ import annotations

import time

import pytest

from tenire.documents import html
from tenire.documents.cleansing import cleanse
from tenire.documents.html import extract
from tenire.documents.structure import Heading, Structure, heading_mark, plain, unmark

FRAME = """<!doctype html><html><head><title> The &amp; title </title><style>.x{{}}</style></head><body>
<nav>Home menu entry</nav><div role="navigation">side menu</div><script>var s = "script text";</script>
{content}
<footer>imprint and contact</footer></body></html>"""
ARTICLE = """<h1>The heading<a class="headerlink" href="#x">¶</a></h1><p>First <b>bold</b> paragraph.</p>
<ul><li>item one<li>item two<ul><li>inner</ul></ul><ol><li>first</ol>
<pre>def f():
    return 1

  indented</pre><table><tr><th>key<th>value<tr><td>k1<td>v1</table>
<dl><dt>term<dd>definition</dl><aside class="footnote">a footnote</aside><!-- comment --><template>tmpl</template>"""


@pytest.mark.parametrize(
    "shell", ["<main>{}</main>", "<div role=main>{}</div>", "<article>{}</article>", "<div>{}</div>"]
)
def test_content_stays_and_the_pages_frame_goes(shell: str) -> None:
    title, text = extract(FRAME.format(content=shell.format(ARTICLE)))
    assert title == "The & title"
    for kept in (
        "The heading",
        "First bold paragraph.",
        "item one",
        "inner",
        "first",
        "key",
        "v1",
        "term",
        "definition",
    ):
        assert kept in text
    assert "a footnote" in text
    assert "def f():\n    return 1\n\n  indented" in text
    for gone in ("menu", "imprint", "script text", "¶", "comment", "tmpl", ".x{"):
        assert gone not in text
    assert text.index("The heading") < text.index("First bold") < text.index("item one") < text.index("def f")


def test_a_title_that_the_text_does_not_hold_is_put_before_it() -> None:
    assert extract("<title>Cats</title><p>They purr.") == ("Cats", f"{heading_mark(1)}Cats\n\nThey purr.")
    assert plain(extract("<title>Cats — a manual</title><h1>Cats</h1><p>They purr.")[1]) == "Cats\n\nThey purr."
    assert extract("<p>They purr.") == ("", "They purr.")


def test_a_main_element_that_is_a_shell_does_not_hide_the_page() -> None:
    page = f"<body><main><p>Loading</p></main><div>{'<p>Real words here.</p>' * 200}</div></body>"
    assert "Real words here." in extract(page)[1]


def test_a_list_of_articles_is_kept_whole() -> None:
    text = extract("<body>" + "".join(f"<article>story {number}</article>" for number in range(5)))[1]
    assert [f"story {number}" in text for number in range(5)] == [True] * 5


@pytest.mark.parametrize(
    "page", ["", " ", "<", "<html>", "<frameset><frame src=x></frameset>", "plain words", "<p", "\x00<p>x"]
)
def test_pages_that_are_hardly_pages_are_read(page: str) -> None:
    title, text = extract(page)
    assert title == ""
    assert text in ("", "plain words", "x", "<") or text.strip("<") == ""


BOMBS = {
    "10,000 deep": lambda n: "<div>" * n + "hello" + "</div>" * n,
    "deep quotes": lambda n: "<blockquote>hello" * n,
    "deep lists": lambda n: "<ul><li>hello" * n,
    "lists that pretend to close": lambda n: "<table><td></ul><ul><li>hello" * n,
    "open formatting": lambda n: "<p><b>hello" * n,
    "open tables": lambda n: "<table><tr><td>hello" * n,
    "attributes": lambda n: "<div " + " ".join(f"a{i}=1" for i in range(5 * n)) + ">hello</div>",
    "angles": lambda n: "hello" + "<" * n,
    "open comments": lambda n: "hello" + "<!--" * n,
    "articles": lambda n: "<div>" * n + "<article>hello" * n,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_pages_cost_no_more_than_their_size(bomb: str) -> None:
    begun = time.process_time()
    text = extract(BOMBS[bomb](10_000))[1]
    assert "hello" in text
    assert len(text) < 64 << 20
    assert time.process_time() - begun < 3


def test_an_attribute_longer_than_any_tag_is_dropped_without_the_text_behind_it() -> None:
    picture = "A" * 100_000
    text = extract(f'<p>before <img alt="a" src="data:image/png;base64,{picture}"> after</p>')[1]
    assert "before" in text
    assert "after" in text
    assert "AAAA" not in text


def test_a_long_paragraph_without_tags_is_kept() -> None:
    words = "a < b and words " * 5000
    assert len(extract(f"<p>{words}</p>")[1]) > 70_000


def test_a_huge_page_is_read_in_pieces_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_MAX_TREE", 4000)
    monkeypatch.setattr(html, "_PIECE", 2000)
    page = "<title>T</title>" + "".join(f"<div><p>paragraph number {number}.</p></div>\n" for number in range(1000))
    title, text = extract(page)
    assert title == "T"
    assert [f"paragraph number {number}." in text for number in range(1000)] == [True] * 1000
    assert len("".join(extract("word " * 2000)[1].split())) == 8000


def structure(page: str) -> tuple[str, Structure]:
    return unmark(cleanse(extract(page)[1]))


def test_headings_code_and_tables_are_told_by_their_places() -> None:
    text, found = structure(
        "<title>T</title><body><h1 class='a'>One <code>x</code><a class=headerlink href=#o>¶</a></h1><p>Intro"
        "<H3>\n  Two\n  words</H3>tail<div><pre>\na = 1\n\n\n  b</pre></div>between"
        "<table><caption>c<tr><td>1<td>2<tr><td>3<td>4</table>after<h2></h2>"
        "<table><tr><td><table><tr><td>in</table></table>"
    )
    assert [heading[1:3] for heading in found.headings] == [(1, "One x"), (3, "Two words")]
    assert all(text[heading.start :].startswith(heading.title) for heading in found.headings)
    blocks = [text[start:end] for start, end in found.blocks]
    assert blocks == ["a = 1\n\n\n  b", "c\n1\t\t2\n3\t\t4", "in"]
    assert "\ufdd0" not in text
    assert "\n\n\n\n" not in text


def test_what_a_page_holds_of_marks_means_nothing() -> None:
    text, found = structure(f"<title>{heading_mark(2)}T</title><p>{heading_mark(1)}no heading <b title='<h1>'>x</b>")
    assert "no heading x" in text
    assert found.headings == (Heading(0, 1, "2T", 2),)
