from __future__ import annotations

from typing import Any

import pytest

from tenire.errors import ConfigError
from tenire.llm.addresses import find_proxy, read_address

AZURE = "https://mine.openai.azure.com"


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://localhost:11434/v1", "http://localhost:11434/v1/chat/completions"),
        (" http://localhost:11434/v1/ ", "http://localhost:11434/v1/chat/completions"),
        ("https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
        ("http://[::1]:8000", "http://[::1]:8000/chat/completions"),
        (AZURE, f"{AZURE}/openai/deployments/my%2Fmodel/chat/completions?api-version=2024-10-21"),
        (f"{AZURE}/openai/v1/", f"{AZURE}/openai/v1/chat/completions"),
        (
            f"{AZURE}/openai/deployments/other/chat/completions?api-version=2025-01-01",
            f"{AZURE}/openai/deployments/other/chat/completions?api-version=2025-01-01",
        ),
    ],
)
def test_calls_go_where_the_provider_wants_them(base_url: str, expected: str) -> None:
    assert read_address(base_url).of("/chat/completions", "my/model") == expected


def test_any_host_can_be_azures() -> None:
    address = read_address("http://127.0.0.1:8000", "2025-01-01")
    assert address.azure
    assert address.of("/embeddings", "m") == (
        "http://127.0.0.1:8000/openai/deployments/m/embeddings?api-version=2025-01-01"
    )


@pytest.mark.parametrize(
    ("base_url", "version", "chat", "files"),
    [
        (
            "/openai/v1?api-version=preview",
            None,
            "/openai/v1{}?api-version=preview",
            "/openai/v1{}?api-version=preview",
        ),
        ("/openai/v1", "preview", "/openai/v1{}?api-version=preview", "/openai/v1{}?api-version=preview"),
        ("/openai", "1", "/openai/deployments/m{}?api-version=1", "/openai{}?api-version=1"),
        ("/openai/", None, "/openai/deployments/m{}?api-version=2024-10-21", "/openai{}?api-version=2024-10-21"),
        ("/models", "1", "/models{}?api-version=1", "/models{}?api-version=1"),
        ("/models/chat/completions", None, "/models{}?api-version=2024-05-01-preview", None),
    ],
)
def test_azures_other_addresses_are_kept(base_url: str, version: str | None, chat: str, files: str | None) -> None:
    address = read_address(AZURE + base_url, version)
    assert address.of("/chat/completions", "m") == AZURE + chat.format("/chat/completions")
    assert files is None or address.of("/files", "") == AZURE + files.format("/files")


def test_a_host_with_the_name_of_a_path_is_a_host() -> None:
    address = read_address("http://models", "1")
    assert address.of("/embeddings", "m") == "http://models/openai/deployments/m/embeddings?api-version=1"


@pytest.mark.parametrize("path", ["/anthropic", "/anthropic/", "/anthropic/v1", "/anthropic/v1/messages"])
def test_azures_anthropic_has_no_deployments(path: str) -> None:
    azure = "https://mine.services.ai.azure.com"
    for call in ("/messages", "/messages/batches"):
        assert read_address(azure + path).of(call, "m") == f"{azure}/anthropic/v1{call}"
    address = read_address("https://gate.example/claude", "1")
    assert address.of("/messages", "m") == "https://gate.example/claude/messages?api-version=1"


def test_only_azures_paths_are_changed() -> None:
    assert read_address("https://gate.example/me/openai").of("/files", "") == "https://gate.example/me/openai/files"
    assert read_address("https://gate.example/anthropic").base == "https://gate.example/anthropic"


@pytest.mark.parametrize(
    "base", ["https://openai.mycorp.com", "http://openai/deployments/x", AZURE, "https://gate.example/openai.com"]
)
def test_files_go_to_the_host_that_the_calls_go_to(base: str) -> None:
    address = read_address(base, "2025-01-01")
    assert address.of("/files", "") == f"{base}/openai/files?api-version=2025-01-01"
    assert address.of("/embeddings", "m") == f"{base}/openai/deployments/m/embeddings?api-version=2025-01-01"


def test_files_of_a_deployments_address_are_no_deployments() -> None:
    address = read_address(f"{AZURE}/openai/deployments/other", "2025-01-01")
    assert address.of("/files", "") == f"{AZURE}/openai/files?api-version=2025-01-01"


def test_only_azure_has_a_key_of_its_own_form() -> None:
    assert not read_address("http://localhost:11434/v1").azure
    assert read_address(f"{AZURE}/openai/v1").azure
    assert read_address(f"{AZURE}/openai/v1").version is None
    assert read_address("http://localhost/v1?api-version=1").version is None


@pytest.mark.parametrize("base_url", ["", "localhost:8000", "ftp://x", "https://", "http://x:port", "http://[::1"])
def test_what_is_no_address_is_refused_by_name(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url must be"):
        read_address(base_url)


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("me:hush-hush@host/v1", "'…@host/v1'"),
        ("ftp://me:hush-hush@host", "'…@host'"),
        ("ftp://me:hush@hush@host", "'…@host'"),
        ("ftp://me:hush/hush@host", "'…@host'"),
        ("ftp://me:hush?hush@host", "a text with an @"),
        ("host/v1?api_key=hush-hush", "'host/v1…'"),
        ("host/v1?api_key=hush@hush", "a text with an @"),
        ("host/v1#hush-hush", "'host/v1…'"),
        ("http://u:hush-hush@host:99999999", "'…@host:99999999'"),
        ("http://u:hush-hush@ho\u2100st", "'…@ho\u2100st'"),
        (b"http://u:hush-hush@host", "a bytes"),
    ],
)
def test_an_impossible_address_is_shown_without_its_secrets(base_url: Any, shown: str) -> None:
    with pytest.raises(ConfigError, match="base_url must be") as caught:
        read_address(base_url)
    assert "hush" not in str(caught.value)
    assert f"got {shown}" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        read_address("https://me:hush-hush@api.example/v1")
    assert "hush" not in str(caught.value)
    assert caught.value.hint == "use api_key"


@pytest.mark.parametrize(
    "end", ["?api_key=hush-hush", "?api-version=1&key=hush-hush", "?hush-hush", "?hush-hush=", "#hush-hush"]
)
def test_what_would_not_be_sent_of_an_address_is_refused_and_not_shown(end: str) -> None:
    with pytest.raises(ConfigError, match="base_url must not hold") as caught:
        read_address(f"https://api.example/v1{end}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "proxies", "expected"),
    [
        ("https://api.example/v1", {"https": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://api.example/v1", {"all": "proxy:3128"}, "http://proxy:3128"),
        ("https://api.example/v1", {"http": "http://proxy:3128"}, None),
        ("http://127.0.0.1:8000/v1", {"http": "http://proxy:3128", "all": "http://proxy:3128"}, None),
        ("https://api.example/v1", {}, None),
    ],
)
def test_the_proxy_of_the_environment_is_found(base_url: str, proxies: dict[str, str], expected: str | None) -> None:
    found = find_proxy(read_address(base_url), proxies)
    assert (None if found is None else found.url) == expected
    assert found is None or found.headers is None


def test_the_proxy_is_told_who_calls_and_nobody_else() -> None:
    found = find_proxy(read_address("https://api.example/v1"), {"https": "http://me:hush%40x@proxy:3128"})
    assert found is not None
    assert found.url == "http://proxy:3128"
    assert found.headers == {"Proxy-Authorization": "Basic bWU6aHVzaEB4"}
    assert "hush" not in repr(found)


def _set_proxies(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_proxies(monkeypatch, https_proxy="http://proxy:3128")
    assert find_proxy(read_address("https://api.example/v1")) is not None
    monkeypatch.setenv("no_proxy", "api.example")
    assert find_proxy(read_address("https://api.example/v1")) is None


@pytest.mark.parametrize(
    ("base_url", "named"),
    [
        ("https://api.example:8443/v1", "api.example:8443"),
        ("https://api.example/v1", "api.example:443"),
        ("https://models.api.example:8443/v1", "other.example, api.example:8443"),
        ("https://10.0.0.5:8000/v1", "10.0.0.5:8000"),
        ("https://[2001:db8::5]:8000/v1", "[2001:db8::5]:8000"),
        ("https://[2001:db8::5]:8000/v1", "2001:db8::5"),
    ],
)
def test_no_proxy_may_name_a_port(monkeypatch: pytest.MonkeyPatch, base_url: str, named: str) -> None:
    _set_proxies(monkeypatch, https_proxy="http://proxy:3128", no_proxy=named)
    assert find_proxy(read_address(base_url)) is None


@pytest.mark.parametrize("named", ["api.example:443", "api.example:80", "8443"])
def test_a_port_in_no_proxy_is_that_port_alone(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    _set_proxies(monkeypatch, https_proxy="http://proxy:3128", no_proxy=named)
    assert find_proxy(read_address("https://api.example:8443/v1")) is not None


@pytest.mark.parametrize("proxy", ["socks5://me:hush@proxy:1080", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused(proxy: str) -> None:
    address: Any = read_address("https://api.example/v1")
    with pytest.raises(ConfigError, match="proxy must be reached by http") as caught:
        find_proxy(address, {"https": proxy})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://me:hush@proxy:hush", "http://me:hush@proxy:99999", "http://me:hush@[::1"])
def test_a_proxy_that_cannot_be_read_is_refused_before_anything_is_sent(proxy: str) -> None:
    with pytest.raises(ConfigError, match="got one for https that cannot be read") as caught:
        find_proxy(read_address("https://api.example/v1"), {"https": proxy})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "hush" not in str(caught.value)
