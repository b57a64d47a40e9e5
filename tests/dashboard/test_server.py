"""The dashboard over real HTTP, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tenire.dashboard import DEFAULT_PORT, Dashboard
from tenire.errors import ConfigError
from tenire.storage.home import Home

from .conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

BEARER = {"authorization": f"Bearer {TOKEN}"}


async def events(client: aiohttp.ClientSession) -> AsyncIterator[dict[str, Any]]:
    """Yield what a page reads."""
    async with client.get("/events", headers=BEARER) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        while line := await answer.content.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


async def until(client: aiohttp.ClientSession, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    # Long: worker processes have the lowest priority, and wait for whatever else is busy.
    async with asyncio.timeout(120), contextlib.aclosing(events(client)) as stream:
        async for told in stream:
            if true(told):
                return told
    raise AssertionError("the stream ended")


async def act(client: aiohttp.ClientSession, **command: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("/control", json=command, headers=BEARER) as answer:
        return answer.status, await answer.json()


def test_the_address_opens_the_page_and_the_token_leaves_it(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        assert dashboard.address == f"http://127.0.0.1:{dashboard.port}/?token={TOKEN}"
        async with client.get(dashboard.address, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith(f"tenire-{dashboard.port}={TOKEN};")
            assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        cookies = {"cookie": f"tenire-{dashboard.port}={TOKEN}"}
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            async with client.get(path, headers=cookies) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert len(await answer.text()) > 1_000

    served(scenario)


def test_every_answer_says_that_it_is_kept_nowhere_and_framed_nowhere(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        for path, headers in (("/", BEARER), ("/", {}), ("/nothing", BEARER), ("/why?task=t1", BEARER)):
            async with client.get(path, headers=headers) as answer:
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["cache-control"] == "no-store"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert "server" not in answer.headers

    served(scenario)


def test_who_may_not_come_in_gets_nothing(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        for path in ("/", "/events", "/page.js", "/search?q=a", "/nothing"):
            async with client.get(path) as answer:
                assert answer.status == 401
            async with client.get(path, headers=BEARER | {"host": "evil.example"}) as answer:
                assert answer.status == 421
            async with client.get(path, headers=BEARER | {"origin": "http://evil.example"}) as answer:
                assert answer.status == 403
        async with client.post("/control", json={"action": "pause", "pipeline": "one"}) as answer:
            assert answer.status == 401
        async with client.post("/control?token=wrong", json={"action": "pause", "pipeline": "one"}) as answer:
            assert answer.status == 401

    served(scenario)


def test_commands_are_read_strictly(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        wrong: list[Any] = [
            {}, {"action": "explode"}, {"action": "pause"}, {"action": "pause", "pipeline": 1}, [1],
            {"action": "pause", "pipeline": "one", "more": 1}, {"action": "weight", "pipeline": "one"},
        ]  # fmt: skip
        for body in wrong:
            async with client.post("/control", json=body, headers=BEARER) as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]["type"] == "ConfigError"
        async with client.post("/control", data=b'{"action": "pause", "pipeline": "one"}', headers=BEARER) as answer:
            assert answer.status == 400, "a form of another page can send no JSON"
        async with client.post(
            "/control", data=b" " * 70_000, headers=BEARER | {"content-type": "application/json"}
        ) as answer:
            assert answer.status == 409
        for method in ("get", "put", "delete"):
            async with client.request(method, "/control", headers=BEARER) as answer:
                assert answer.status == 405
        for path in ("/search?q=", "/search?q=a&k=0", "/search?q=a&k=9999", "/search?q=a&k=²", "/search?q=a&mode=x"):
            async with client.get(path, headers=BEARER) as answer:
                assert answer.status in (400, 409)
        status, body = await act(client, action="pause", pipeline="one")
        assert (status, body["error"]["type"]) == (503, "ChannelError"), "no engine runs"

    served(scenario)


def test_a_run_is_seen_and_steered(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        assert await act(client, action="pause", pipeline="two") == (
            200, {"text": "two is paused", "facts": {"pipeline": "two", "state": "paused"}}
        )  # fmt: skip
        assert (await act(client, action="resume", pipeline="one"))[1]["text"] == "one goes on"
        await until(client, lambda told: told["pipelines"].get("one", {}).get("state") == "done")
        assert (await act(client, action="weight", pipeline="two", weight=2.5))[1]["text"] == "two has weight 2.5 now"
        assert (await act(client, action="priority", pipeline="two", level="low"))[0] == 200
        told = await until(client, lambda told: told["pipelines"]["two"]["weight"] == 2.5 and told["quarantined"])
        assert told["pipelines"]["two"]["priority"] == "low"
        status, body = await act(client, action="priority", pipeline="two", level="urgent")
        assert (status, body["error"]["hint"] is None or bool(body["error"]["hint"])) == (400, True)
        assert (await act(client, action="pause", pipeline="one"))[0] == 409
        entry = (await until(client, lambda told: told["whole"]))["quarantine"][0]
        async with client.get(f"/why?task={entry['id']}", headers=BEARER) as answer:
            assert "cannot be used" in (await answer.json())["paragraph"]
        async with client.get("/search?q=zebras&mode=text", headers=BEARER) as answer:
            hit = (await answer.json())["hits"][0]
            begin, end = hit["highlights"][0]
            assert hit["text"][begin:end] == "Zebras"
        assert (await act(client, action="retry", ids=[entry["id"]]))[1]["facts"] == {"requeued": 1}
        assert (await act(client, action="cancel", pipeline="two"))[1]["facts"]["state"] == "cancelled"

    served(scenario, running=True)


def test_it_ends_at_once_with_a_page_open(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        stream = events(client)
        await anext(stream)
        async with asyncio.timeout(30):  # uvicorn alone would wait for the page for ever
            await dashboard.__aexit__(None, None, None)
            rest = [told async for told in stream]  # the page sees a clean end
        assert len(rest) < 5

    served(scenario)


def test_a_page_that_reads_nothing_holds_up_nobody(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", dashboard.port, limit=1)
        head = f"GET /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        await until(client, lambda told: told["whole"])
        writer.transport.abort()
        del reader

    served(scenario)


def test_pages_that_are_left_cost_nothing_more(served: Any) -> None:
    async def scenario(dashboard: Dashboard, client: aiohttp.ClientSession) -> None:
        idle = dashboard.feed.period
        await until(client, lambda _: dashboard._stream.pages == 1 and dashboard.feed.period < idle)
        async with asyncio.timeout(60):
            while dashboard._stream.pages:
                await dashboard.feed.newer(0)
                await asyncio.sleep(0.01)
        assert dashboard.feed.period == idle

    served(scenario)


def test_others_are_let_in_on_purpose_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="listens on this machine only") as refused:
        Dashboard(tmp_path, host="0.0.0.0")
    assert "--allow-remote" in str(refused.value.hint)
    assert Dashboard(tmp_path, host="0.0.0.0", remote=True).remote
    assert not Dashboard(tmp_path, host="LOCALHOST").remote


def test_a_port_that_is_taken_is_said_and_the_usual_one_gives_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with Dashboard(home, port=0) as first:
            with pytest.raises(ConfigError, match=f"port {first.port}"):
                async with Dashboard(home, port=first.port):
                    pass
        taken = socket.socket()
        if os.name == "posix":  # one that has just ended leaves connections behind, which would keep it from us
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken by somebody else: as good
            taken.bind(("127.0.0.1", DEFAULT_PORT))
        taken.listen()
        async with Dashboard(home) as second:
            assert second.port != DEFAULT_PORT
        taken.close()

    home = Home(tmp_path / "home")
    asyncio.run(main())
