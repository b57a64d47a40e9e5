"""Addresses of pages, trackers, sessions, and where a Chromium is."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tenire.browser.chromium import arguments, find_chromium
from tenire.browser.errors import PageError
from tenire.browser.sessions import SessionFiles, session_name
from tenire.browser.trackers import is_tracker
from tenire.browser.urls import host_of, is_page, normal, origin_of
from tenire.errors import ConfigError, MissingExtraError, StoreError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://example.org", "https://example.org/"),
        (" HTTP://Example.ORG:80/A?b=C#d ", "http://example.org/A?b=C"),
        ("https://example.org:443/", "https://example.org/"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ],
)
def test_an_address_has_one_form(written: str, expected: str) -> None:
    assert normal(written) == expected
    assert normal(expected) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "example.org",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://x/",
        "http://",
        "http://[::1",
        "http://x:y/",
    ],
)
def test_what_is_no_address_of_a_page_is_refused(written: str) -> None:
    assert not is_page(written)
    with pytest.raises(PageError, match="expected the address of a page"):
        normal(written)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(PageError, match="holds a password") as caught:
        normal("https://ada:secret@example.org/")
    assert "secret" not in str(caught.value)


def test_the_parts_of_an_address() -> None:
    assert host_of("http://example.org:8080/a") == "example.org"
    assert origin_of("http://example.org:8080/a") == "http://example.org:8080"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("google-analytics.com", True),
        ("www.Google-Analytics.com.", True),
        ("notgoogle-analytics.com", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_a_tracker_is_known_by_its_domain(host: str, *, expected: bool) -> None:
    assert is_tracker(host) is expected


def test_a_session_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    state = {"cookies": [{"name": "login", "value": "1"}], "origins": []}
    files = SessionFiles(tmp_path / "sessions")
    assert files.load("shop") is None
    files.save("shop", state)
    path = tmp_path / "sessions" / "shop.json"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["shop.json"]
    assert SessionFiles(tmp_path / "sessions").load("shop") == state
    files.forget("shop")
    assert files.load("shop") is None
    assert not path.exists()


def test_a_session_without_a_folder_is_kept_in_memory() -> None:
    files = SessionFiles(None)
    files.save("shop", {"cookies": []})
    assert files.load("shop") == {"cookies": []}
    files.forget("shop")
    assert files.load("shop") is None


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_session_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "shop.json").write_text(content)
    with pytest.raises(StoreError, match="session shop cannot be read") as caught:
        SessionFiles(tmp_path).load("shop")
    assert caught.value.hint == "remove the file, and log in again"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 65])
def test_a_session_has_a_name_that_a_file_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="session must be"):
        session_name(name)


@pytest.mark.skipif(os.name != "posix", reason="programs are marked as such on POSIX")
def test_the_first_browser_that_is_there_is_taken(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(ConfigError, match="executable must be"):
        find_chromium(program)
    program.chmod(0o755)
    assert find_chromium(program) == str(program)
    assert find_chromium(platform="darwin", environment=environment) == str(program)
    with pytest.raises(ConfigError, match="executable must be"):
        find_chromium(tmp_path)


@pytest.mark.parametrize(("platform", "install"), [("win32", "winget install"), ("darwin", "brew install")])
def test_where_there_is_none_it_is_said_what_to_install(platform: str, install: str, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match="rendering web pages needs Chromium") as caught:
        find_chromium(platform=platform, environment={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert install in str(caught.value.hint)


def test_pictures_can_be_left_out() -> None:
    assert "--blink-settings=imagesEnabled=false" in arguments(images=False, mark="m")
    assert "--blink-settings=imagesEnabled=false" not in arguments(images=True, mark="m")
    assert "--tenire-pool=m" in arguments(images=True, mark="m")
