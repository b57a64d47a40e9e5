"""A site of tests: it answers what it is told to, on a free port of the loopback address."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable

__all__ = ["Request", "Response", "Site", "page"]

_REASONS = {200: "OK", 302: "Found", 304: "Not Modified", 404: "Not Found"}


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class Response:
    body: bytes | str = ""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Answers by ``pages``; everything else is not found.

    Attributes:
        pages: What stands at each path: a response, the text of a page, or a function of the request.
        asked: How often each path was asked for.
        requests: All requests, in order.
    """

    def __init__(self, pages: dict[str, Response | str | Callable[[Request], Response]] | None = None) -> None:
        self.pages = pages or {}
        self.asked: Counter[str] = Counter()
        self.requests: list[Request] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Site:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers = {}
                while (head := (await reader.readline()).decode().strip()) != "":
                    name, _, value = head.partition(":")
                    headers[name.lower()] = value.strip()
                request = Request(path, headers)
                if path != "/favicon.ico":
                    self.asked[path] += 1
                    self.requests.append(request)
                await self._answer(writer, self._response(request))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _response(self, request: Request) -> Response:
        found = self.pages.get(request.path.partition("?")[0])
        if found is None:
            return Response("<title>no</title>not here", 404)
        if callable(found):
            return found(request)
        return Response(found) if isinstance(found, str) else found

    async def _answer(self, writer: StreamWriter, response: Response) -> None:
        body = response.body.encode() if isinstance(response.body, str) else response.body
        headers = {"Content-Type": response.content_type, "Content-Length": str(len(body)), **response.headers}
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'So')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()


def page(title: str, text: str = "", links: tuple[str, ...] = ()) -> str:
    anchors = "".join(f'<a href="{link}">{link}</a> ' for link in links)
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{text}</p>{anchors}</body></html>"
