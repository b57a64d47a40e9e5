"""Which cookies of a session are for an address."""

from __future__ import annotations

from typing import Any

import pytest

from tenire.browser.cookies import cookies_for

NOW = 1000.0


def cookie(**changes: Any) -> dict[str, Any]:
    """Return a cookie as Playwright tells it; for example.org alone, until the browser ends."""
    usual = {"name": "a", "value": "1", "domain": "example.org", "path": "/", "expires": -1}
    return {**usual, "httpOnly": True, "secure": False, "sameSite": "Lax", **changes}


@pytest.mark.parametrize(
    ("domain", "host", "expected"),
    [
        ("example.org", "example.org", True),
        ("example.org", "example.org:8080", True),
        ("example.org", "www.example.org", False),
        ("example.org", "badexample.org", False),
        ("example.org", "example.org.evil.example", False),
        (".example.org", "example.org", True),
        (".example.org", "a.b.example.org", True),
        (".example.org", "badexample.org", False),
        (".example.org", "example.org.evil.example", False),
        ("www.example.org", "example.org", False),
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("[::1]", "[::1]:8080", True),
        ("", "example.org", False),
        (".", "example.org", False),
    ],
)
def test_a_cookie_goes_to_the_hosts_that_it_is_for(domain: str, host: str, *, expected: bool) -> None:
    state = {"cookies": [cookie(domain=domain)]}
    assert cookies_for(state, f"http://{host}/", NOW) == ("a=1" if expected else "")


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/", "/a/b", True),
        ("/a", "/a", True),
        ("/a", "/a/b?c=d", True),
        ("/a/", "/a/b", True),
        ("/a", "/ab", False),
        ("/a/", "/a", False),
        ("/a", "/", False),
        ("/a", "/b?/a", False),
    ],
)
def test_a_cookie_goes_to_its_path_and_below(path: str, asked: str, *, expected: bool) -> None:
    state = {"cookies": [cookie(path=path)]}
    assert cookies_for(state, f"http://example.org{asked}", NOW) == ("a=1" if expected else "")


@pytest.mark.parametrize(
    ("changes", "url", "expected"),
    [
        ({"secure": True}, "https://example.org/", True),
        ({"secure": True}, "http://example.org/", False),
        ({"expires": NOW + 1}, "http://example.org/", True),
        ({"expires": NOW}, "http://example.org/", False),
        ({"expires": 0}, "http://example.org/", False),
        ({"partitionKey": "https://other.example"}, "https://example.org/", False),
    ],
)
def test_a_cookie_is_not_sent_in_the_open_too_late_or_for_another_site(
    changes: dict[str, Any], url: str, *, expected: bool
) -> None:
    assert cookies_for({"cookies": [cookie(**changes)]}, url, NOW) == ("a=1" if expected else "")


def test_cookies_of_longer_paths_come_first_and_no_cookie_is_no_header() -> None:
    state = {"cookies": [cookie(), cookie(name="b", value='x="y"', path="/b"), cookie(name="c", domain="c.example")]}
    assert cookies_for(state, "http://example.org/b/", NOW) == 'b=x="y"; a=1'
    assert cookies_for({}, "http://example.org/", NOW) == ""
