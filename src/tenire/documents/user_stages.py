"""Stages of the user that a document goes through between cleansing and cutting, in the worker process that reads it.

A stage is given the document as an item: ``id`` (where it was read), ``text``, ``title``,
``author``, ``date``, ``language``, ``kind``, ``pages``, and what else its source knows, by name. It returns
the item as it goes on; a name that is new is kept with the document, and can be searched for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tenire.documents.cleansing import cleanse
from tenire.documents.remarking import remarked
from tenire.documents.structure import plain, without_marks
from tenire.errors import ConfigError, DocumentError
from tenire.pipeline.named_functions import load_function
from tenire.pipeline.rows.lines import item_of
from tenire.pipeline.stages.results import WrongResultsError, checked
from tenire.pipeline.stages.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.documents.draft import Draft

__all__ = ["Staged", "stage_of", "staged"]

_SHOWN = 500
_FIXED = ("id", "kind", "pages")
_OWN = ("title", "author", "date", "language")


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of a draft.

    Attributes:
        draft: The draft as the last stage left it.
        left: The stage that left it out, or ``""``.
    """

    draft: Draft
    left: str = ""


@lru_cache(maxsize=32)
def stage_of(name: str) -> Stage:
    """Return the stage that a located name means.

    Raises:
        ConfigError: If it cannot be loaded, or cannot run in a worker process.
    """
    stage = Stage.of(load_function(name, coroutines=True))
    if stage.explicit_place not in ("auto", "process") or stage.on == "loop":
        message = f"the stage {stage.name} cannot run in the worker process that reads documents"
        hint = 'use a plain function with on="process"; what waits for a server goes into a pipeline with a sink'
        raise ConfigError(message, key="stages", hint=hint)
    return stage


def staged(draft: Draft, names: Sequence[str]) -> Staged:
    """Take a draft through stages.

    Args:
        draft: As it was cleansed and masked; its text may hold marks, which stay with their lines.
        names: Located names of the stages, in order.

    Raises:
        DocumentError: If a stage raises for it; of the stage's name.
        ConfigError: If a stage cannot be loaded, or returns what no stage may.
    """
    for name in names:
        stage = stage_of(name)
        item = _item_of(draft)
        found = _called(stage, item)
        if found is None:
            return Staged(draft, stage.name)
        draft = _changed(draft, item, found)
    return Staged(draft)


def _called(stage: Stage, item: dict[str, Any]) -> dict[str, Any] | None:
    given = dict(item)  # the function may change its item
    try:
        results = stage.function([given])
        (lines,) = checked(results, [item])
    except WrongResultsError as error:
        message = f"the stage {stage.name} returned what no stage may: {error}"
        raise ConfigError(message, key="stages") from error
    except Exception as error:
        message = f"{type(error).__name__}: {str(error)[:_SHOWN]}"
        raise DocumentError(message, source=item["id"], stage=stage.name) from error
    if not lines:
        return None
    found = item_of(lines[0])
    if len(lines) > 1 or found["id"] != item["id"]:
        message = f"the stage {stage.name} made a list of a document, which is cut into passages later"
        raise ConfigError(message, key="stages", hint="return one dict, or None if it is to leave")
    return found


def _item_of(draft: Draft) -> dict[str, Any]:
    about = draft.about
    own = {"text": plain(draft.text), "title": draft.title, "author": about.author, "date": about.date}
    own["language"] = about.language
    return {**dict(about.extra), **own, "kind": about.kind, "pages": about.pages, "id": draft.source}


def _changed(draft: Draft, item: dict[str, Any], found: dict[str, Any]) -> Draft:
    own = {name: _text(found.get(name, item[name])) for name in _OWN}
    title = own.pop("title")
    others = {name: value for name, value in found.items() if name not in (*_FIXED, *_OWN, "text")}
    new = {name: _text(value) for name, value in others.items() if item.get(name) != value}
    kept = tuple(pair for pair in draft.about.extra if pair[0] in others and pair[0] not in new)
    about = replace(
        draft.about, author=own["author"], date=own["date"], language=own["language"], extra=(*kept, *new.items())
    )
    text = _text(found.get("text", item["text"]))
    if text != item["text"]:
        return replace(draft, text=remarked(draft.text, cleanse(without_marks(text))), title=title, about=about)
    return replace(draft, title=title, about=about)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
