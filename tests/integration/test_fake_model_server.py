"""The fake model server over real connections, with the client that Tenire itself uses."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import aiohttp
import pytest

from tenire.testing import FakeModelServer, ServerFaults

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def body(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "some", "messages": [{"role": "user", "content": prompt}], **more}


async def post(session: aiohttp.ClientSession, url: str, data: dict[str, Any], **more: Any) -> tuple[int, bytes]:
    async with session.post(url, json=data, **more) as response:
        return response.status, await response.read()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait, within reason, for what happens in the server's thread."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is in another thread
            await asyncio.sleep(0.001)


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


def test_a_plain_program_can_ask() -> None:
    with FakeModelServer(rpm=10) as server:
        asked = Request(f"{server.base_url}/chat/completions", json.dumps(body("Hello")).encode())
        with urlopen(asked) as reply:
            assert "Hello" in json.load(reply)["choices"][0]["message"]["content"]
            assert reply.headers["x-ratelimit-remaining-requests"] == "9"
        with urlopen(f"{server.url}/_statistics") as reply:
            told = json.load(reply)
        assert (told["answered"], told["limits"]) == (1, {"requests": 10})
        with urlopen(f"{server.url}/_records") as reply:
            assert json.load(reply)[0]["prompt"] == server.records()[0].prompt
        assert server.share("requests", since=0, until=60) == 0.1


def test_a_stream_brings_the_same_words_as_a_whole_reply_and_says_what_it_cost() -> None:
    async def scenario() -> None:
        async with FakeModelServer(seconds_per_token=0.0001) as server, aiohttp.ClientSession() as session:
            url = f"{server.base_url}/chat/completions"
            whole = json.loads((await post(session, url, body("Tell me")))[1])
            asked = body("Tell me", stream=True, stream_options={"include_usage": True})
            status, streamed = await post(session, url, asked)
            assert status == 200
            lines = [line.removeprefix("data: ") for line in streamed.decode().split("\n\n") if line]
            assert lines.pop() == "[DONE]"
            events = [json.loads(line) for line in lines]
            text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
            assert text == whole["choices"][0]["message"]["content"]
            assert events[-1]["usage"] == whole["usage"]
            assert events[-2]["choices"][0]["finish_reason"] == "stop"

    play(scenario())


def test_faults_reach_the_client() -> None:
    async def scenario(fault: str, asked: dict[str, Any]) -> str:
        async with FakeModelServer(faults={fault: 1.0}) as server, aiohttp.ClientSession() as session:
            url, limit = f"{server.base_url}/chat/completions", aiohttp.ClientTimeout(total=0.3)
            try:
                status, data = await post(session, url, asked, timeout=limit)
            except (aiohttp.ClientError, TimeoutError) as error:
                found = type(error).__name__
            else:
                try:
                    found = f"{status} {type(json.loads(data)).__name__}"
                except ValueError:
                    found = f"{status} no JSON"
            await session.close()
            await eventually(lambda: server.statistics().in_flight == 0)
            assert server.statistics().outcomes == {fault: 1}
            return found

    async def every() -> None:
        plain, streamed = body("Hello"), body("Hello", stream=True)
        assert await scenario("hang", plain) == "TimeoutError"
        assert await scenario("drop", plain) == "ServerDisconnectedError"
        assert await scenario("disconnect", plain) == "ClientPayloadError"
        assert await scenario("disconnect", streamed) == "ClientPayloadError"
        assert await scenario("malformed", plain) == "200 no JSON"
        assert await scenario("wrong_length", plain) in ("200 no JSON", "ClientResponseError")
        assert await scenario("error_500", streamed) == "500 dict"
        assert await scenario("refuse", plain) == "429 dict"

    play(every())


@pytest.mark.parametrize("overflow", ["queue", "reject"])
def test_calls_without_a_slot_wait_or_are_rejected(overflow: str) -> None:
    async def scenario() -> None:
        async with (
            FakeModelServer(slots=2, overflow=overflow, latency=0.02) as server, aiohttp.ClientSession() as session
        ):  # fmt: skip
            url = f"{server.base_url}/chat/completions"
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(post(session, url, body(f"call {number}"))) for number in range(6)]
            statuses = sorted(call.result()[0] for call in calls)
            assert statuses == ([200] * 6 if overflow == "queue" else [200] * 2 + [503] * 4)
            assert server.statistics().most_in_flight == (6 if overflow == "queue" else 3)

    play(scenario())


def test_a_client_that_goes_away_gives_its_slot_back() -> None:
    async def scenario() -> None:
        async with FakeModelServer(slots=1, latency=0.2) as server, aiohttp.ClientSession() as session:
            url, limit = f"{server.base_url}/chat/completions", aiohttp.ClientTimeout(total=0.05)

            async def impatient(number: int) -> None:
                with pytest.raises(TimeoutError):
                    await post(session, url, body(f"call {number}"), timeout=limit)

            async with asyncio.TaskGroup() as group:  # one has the slot, the others wait
                for number in range(4):
                    group.create_task(impatient(number))
            assert (await post(session, url, body("at last")))[0] == 200
            assert server.statistics().outcomes == {"abandoned": 4, "answered": 1}

    play(scenario())


def test_a_client_that_goes_away_while_it_waits_leaves_the_queue() -> None:
    async def scenario() -> None:
        async with FakeModelServer(slots=1, latency=0.15) as server, aiohttp.ClientSession() as session:
            url, limit = f"{server.base_url}/chat/completions", aiohttp.ClientTimeout(total=0.05)
            patient = asyncio.create_task(post(session, url, body("patient")))
            await eventually(lambda: server.statistics().in_flight == 1)
            with pytest.raises(TimeoutError):
                await post(session, url, body("impatient"), timeout=limit)
            await eventually(lambda: server.statistics().in_flight == 1)
            assert (await patient)[0] == 200
            assert (await post(session, url, body("next")))[0] == 200
            assert server.statistics().outcomes == {"abandoned": 1, "answered": 2}
            assert server.statistics().in_flight == 0

    play(scenario())


def test_azures_and_anthropics_addresses_and_keys_are_known() -> None:
    async def scenario() -> None:
        async with FakeModelServer(api_key="right") as server, aiohttp.ClientSession() as session:
            azure = f"{server.url}/openai/deployments/mine/chat/completions?api-version=2024-10-21"
            asked = {"messages": [{"role": "user", "content": "Hello"}]}
            status, data = await post(session, azure, asked, headers={"api-key": "right"})
            assert (status, json.loads(data)["model"]) == (200, "mine")
            assert (await post(session, azure, asked, headers={"api-key": "wrong"}))[0] == 401
            messages = f"{server.url}/v1/messages"
            status, data = await post(session, messages, body("Hi", max_tokens=9), headers={"x-api-key": "right"})
            assert (status, json.loads(data)["type"]) == (200, "message")
            asked = body("Hi", max_tokens=9, stream=True)
            status, data = await post(session, messages, asked, headers={"x-api-key": "right"})
            assert data.startswith(b"event: message_start\n")
            assert b"event: message_stop\n" in data
            bearer = {"authorization": "Bearer right"}
            assert (await post(session, f"{server.base_url}/chat/completions", body("Hi"), headers=bearer))[0] == 200
            async with session.get(f"{server.base_url}/models") as reply:
                assert (await reply.json())["data"][0]["id"] == "fake-model"
            assert (await post(session, f"{server.base_url}/nothing", {}))[0] == 404

    play(scenario())


def test_requests_sent_one_after_another_without_waiting_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with FakeModelServer(latency=0.01) as server:
            host, port = server.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for word in ("first", "second", "third"):
                data = json.dumps(body(word)).encode()
                writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data))
            writer.write(b"nonsense\r\n\r\n")
            everything = (await reader.read()).decode()
            writer.close()
            await writer.wait_closed()
            assert everything.index("first") < everything.index("second") < everything.index("third")
            assert everything.index("third") < everything.index("400 Bad Request")

    play(scenario())


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = FakeModelServer(port=taken.getsockname()[1])
        with pytest.raises(OSError, match=r"in use|10048"):
            server.start()


def test_an_end_with_calls_under_way_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:
            async with FakeModelServer(faults=ServerFaults(hang=1.0)) as server:
                url = f"{server.base_url}/chat/completions"
                calls = [asyncio.create_task(post(session, url, body(f"{number}"))) for number in range(5)]
                await eventually(lambda: server.statistics().in_flight == 5)
            for call in calls:
                with pytest.raises(aiohttp.ClientError):
                    await call
            assert server.statistics().in_flight == 0

    play(scenario())
