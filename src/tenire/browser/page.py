"""A page as it was fetched."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FetchedPage"]


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page, rendered.

    Attributes:
        url: The address that was asked for.
        final_url: The address that it led to.
        status: The status of HTTP.
        content_type: What the server says that it is, without parameters: ``text/html``.
        html: The page as it stood once it was loaded, scripts and all; an empty text if it is
            no page but a file: get it with ``download``.
        title: Its title.
        links: Where it leads, as full addresses, each once.
        headers: Of the answer, in lower case.
        dynamic: Whether scripts fetched something while it loaded.
        source_hash: SHA-256 of what the server sent, in hexadecimal, or an empty text.
        generation: Number of the browser that rendered it, from 1.
    """

    url: str
    final_url: str
    status: int
    content_type: str
    html: str
    title: str
    links: tuple[str, ...]
    headers: dict[str, str]
    dynamic: bool = False
    source_hash: str = ""
    generation: int = 1

    @property
    def ok(self) -> bool:
        """Whether the status says that this is what was asked for."""
        return 200 <= self.status < 300

    @property
    def is_html(self) -> bool:
        """Whether it is a page, and not a file."""
        return self.content_type in ("text/html", "application/xhtml+xml")
