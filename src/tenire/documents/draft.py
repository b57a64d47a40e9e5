"""A document as it was read, before it is cut: what checks and filters look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.protocols import About

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Draft"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A document as it was read, before it is cut.

    Attributes:
        source: Where it was read: an absolute path, or ``CONTAINER!/MEMBER``.
        size: Bytes of the file.
        title: A title for people, or an empty string.
        text: The cleansed text.
        about: What else is known about it.
    """

    source: str
    size: int
    title: str
    text: str
    about: About = field(default_factory=About)

    def known(self, name: str) -> Any:
        """Return what is known under a name: ``title``, ``author``, ``language``, …, or a name in ``about.extra``.

        An empty string where there is nothing.
        """
        if name == "title":
            return self.title
        if name != "extra" and name in About.__slots__:
            return getattr(self.about, name)
        return next((value for key, value in self.about.extra if key == name), "")
