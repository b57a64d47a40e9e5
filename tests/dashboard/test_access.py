"""Who gets in, from the head of a request alone."""

from __future__ import annotations

import pytest

from tenire.dashboard.access import Gate

TOKEN = "a token that nobody guesses"
HERE = {"host": "127.0.0.1:8642"}
COOKIE = {"cookie": f'other=1; tenire-8642="{TOKEN}"'}


@pytest.fixture
def gate() -> Gate:
    return Gate(TOKEN, port=8642)


def status(gate: Gate, path: str = "/events", query: str = "", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.judge(path, query, HERE | given).status


def test_the_token_comes_as_cookie_as_header_or_in_the_address(gate: Gate) -> None:
    assert status(gate, **COOKIE) == 200
    assert status(gate, authorization=f"Bearer {TOKEN}") == 200
    assert status(gate, query="token=a+token+that+nobody+guesses") == 200
    assert status(gate, "/", query="token=a+token+that+nobody+guesses") == 303, "it leaves the address for the cookie"


@pytest.mark.parametrize(
    "headers",
    [{}, {"cookie": "tenire-8642=wrong"}, {"cookie": f"tenire-9999={TOKEN}"}, {"authorization": f"Basic {TOKEN}"},
     {"authorization": "Bearer"}, {"cookie": "\x00;=;"}, {"authorization": "Bearer \udcff"}],
)  # fmt: skip
def test_no_token_or_a_wrong_one_is_refused(gate: Gate, headers: dict[str, str]) -> None:
    assert status(gate, **headers) == 401


def test_a_wrong_token_in_the_address_is_refused_whatever_the_cookie(gate: Gate) -> None:
    assert status(gate, "/", query="token=wrong", **COOKIE) == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8642", "evil.example:8642", "", "10.0.0.7:8642"]
)
def test_another_host_is_refused_even_with_the_token(gate: Gate, host: str) -> None:
    assert status(gate, host=host, **COOKIE) == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8642", "LOCALHOST:8642", "[::1]:8642", "localhost:9000", "::1", "127.0.0.1"]
)
def test_this_machine_has_several_names_and_its_port_may_be_forwarded(gate: Gate, host: str) -> None:
    assert status(gate, host=host, **COOKIE) == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:8642", "http://127.0.0.1:9999", "http://localhost:8642"],
)
def test_another_origin_is_refused(gate: Gate, origin: str) -> None:
    assert status(gate, origin=origin, **COOKIE) == 403


@pytest.mark.parametrize(
    ("site", "expected"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_a_browser_says_which_site_asks(gate: Gate, site: str, expected: int) -> None:
    assert status(gate, sec_fetch_site=site, **COOKIE) == expected


def test_the_page_itself_has_the_right_origin(gate: Gate) -> None:
    assert status(gate, origin="http://127.0.0.1:8642", sec_fetch_site="same-origin", **COOKIE) == 200


def test_others_may_come_in_by_a_literal_address_only_if_that_was_asked_for() -> None:
    gate = Gate(TOKEN, port=8642, host="0.0.0.0", remote=True)
    assert status(gate, host="10.0.0.7:8642", **COOKIE) == 200
    assert status(gate, host="[fe80::1]:8642", **COOKIE) == 200
    assert status(gate, host="evil.example:8642", **COOKIE) == 421, "a name can be led here, an address cannot"


def test_a_ticket_opens_once(gate: Gate) -> None:
    ticket = gate.ticket()
    assert status(gate, "/", query=f"token={ticket}") == 303
    assert status(gate, "/", query=f"token={ticket}") == 401
