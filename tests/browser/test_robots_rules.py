from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.browser.robots_rules import RobotsRules


def allowed(text: str, *paths: str) -> list[bool]:
    rules = RobotsRules(text, "tenire")
    return [rules.allows(path) for path in paths]


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("Disallow: /*.pdf$", "/papers/a.pdf", False),
        ("Disallow: /*.pdf$", "/papers/a.pdf?x=1", True),
        ("Disallow: /*.pdf$", "/papers/a.pdf.html", True),
        ("Disallow: /*?print=", "/a?print=1", False),
        ("Disallow: /*?print=", "/a?page=1", True),
        ("Disallow: /a*b*c", "/aXbXbXc/d", False),
        ("Disallow: /a*b*c", "/aXcXb", True),
        ("Disallow: /a*a$", "/a", True),
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /\nAllow: /public", "/public/a", True),
        ("Allow: /public\nDisallow: /public/not", "/public/not", False),
        ("Disallow: /page\nAllow: /page", "/page", True),
        ("Disallow:", "/a", True),
        ("Disallow: /  # all of it", "/a", False),
        ("Disallow: /\u00e4", "/%C3%A4/b", False),
        ("Disallow: /%7ejoe", "/~joe", False),
        ("Disallow: /a%2fb", "/a%2Fb", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /a", "/%", True),
    ],
)
def test_the_longest_rule_that_fits_decides(rules: str, path: str, expected: bool) -> None:
    assert allowed(f"User-agent: *\n{rules}\n", path) == [expected]


def test_all_groups_of_a_reader_count_and_those_for_everybody_only_without_one() -> None:
    everybody = "User-agent: *\nDisallow: /a\n\nUser-Agent: other\nDisallow: /c\n\nUser-agent: *\nDisallow: /b\n"
    assert allowed(everybody, "/a", "/b", "/c") == [False, False, True]
    mine = f"{everybody}\nuser-agent: TENIRE/1.0\nUser-agent: other\nDisallow: /d\n"
    assert allowed(mine, "/a", "/b", "/d") == [True, True, False]
    assert allowed("", "/a") == [True]
    assert allowed("User-agent:\nDisallow: /\n", "/a") == [True]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffUser-agent: *\nDisallow: /private",
        "User-agent: *\n\n\nDisallow: /private",
        "User-agent: *\rDisallow: /private",
        "User-agent: other\nSitemap: https://example.org/all.xml\nUser-agent: *\r\nDisallow: /private",
        "Disallow: /\nnonsense\n: /\nUser-agent : *\ndisallow : /private",
    ],
)
def test_a_line_that_is_none_changes_nothing(text: str) -> None:
    assert allowed(text, "/private/a", "/a") == [False, True]


@pytest.mark.parametrize(
    ("wish", "expected"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("inf", 0.0), ("nan", 0.0), ("soon", 0.0)]
)
def test_a_host_may_want_time_between_two_visits(wish: str, expected: float) -> None:
    text = f"User-agent: *\nCrawl-delay: {wish}\n\nUser-agent: other\nCrawl-delay: 99\nDisallow: /\n"
    rules = RobotsRules(text, "tenire")
    assert rules.delay == expected
    assert rules.allows("/a")


@given(st.text("ab*$", max_size=6), st.text("ab", max_size=8))
def test_a_star_stands_for_any_characters(pattern: str, path: str) -> None:
    body = re.escape(pattern.removesuffix("$")).replace(r"\*", ".*")
    expected = re.match(f"/{body}{'$' if pattern.endswith('$') else ''}", f"/{path}") is not None
    assert allowed(f"User-agent: *\nDisallow: /{pattern}", f"/{path}") == [not expected]


def test_many_stars_take_no_time() -> None:
    assert allowed(f"User-agent: *\nDisallow: /{'*a' * 2000}b$", "/" + "a" * 20_000) == [True]
