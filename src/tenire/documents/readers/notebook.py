"""Jupyter notebooks: prose as Markdown, code as code, results that are text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tenire.documents.encoding import decode
from tenire.documents.formats import Kind
from tenire.documents.readers import json as plain_json
from tenire.documents.readers.reading import Raw, Reading, damaged
from tenire.documents.structure import without_marks
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]

_LONGEST_RESULT = 2000
_FENCE = "```"


def read(raw: Raw) -> Reading:
    """Read the cells of a notebook, in order.

    Raises:
        DocumentError: If it is no notebook.
    """
    text = without_marks(decode(raw.data, source=raw.source))
    if not text.strip():
        return Reading("", Kind.MARKDOWN, about=About("notebook"))
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(raw, "a Jupyter notebook", error) from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        # Until 2015, cells were held by worksheets.
        sheets = notebook.get("worksheets") if isinstance(notebook, dict) else None
        if not isinstance(sheets, list):
            return plain_json.read(raw)
        held = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        cells = [cell for each in held if isinstance(each, list) for cell in each]
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    language = _language(metadata)
    blocks = (block for cell in cells if isinstance(cell, dict) for block in _cell(cell, language))
    title = metadata.get("title")
    authors = metadata.get("authors")
    names = (
        [str(author.get("name", "")) for author in authors if isinstance(author, dict)]
        if isinstance(authors, list)
        else []
    )
    extra = (("code", language),) if language else ()
    about = About("notebook", author=", ".join(filter(None, names)), extra=extra)
    return Reading("\n\n".join(blocks), Kind.MARKDOWN, title if isinstance(title, str) else "", about)


def _cell(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _text(cell.get("source", cell.get("input", ""))).strip("\n")
    if not source.strip():
        return
    kind = cell.get("cell_type")
    if kind == "heading":
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source.strip()}"
    elif kind == "code":
        yield _fenced(source, language)
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            result = _result(output).strip("\n")
            if result.strip():
                yield _fenced(result[:_LONGEST_RESULT], "")
    else:
        yield source


def _fenced(text: str, language: str) -> str:
    fence = _FENCE
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _result(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "error":
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    data = output.get("data")
    return _text(output.get("text") or (data.get("text/plain", "") if isinstance(data, dict) else ""))


def _text(lines: Any) -> str:
    return "".join(map(str, lines)) if isinstance(lines, list) else str(lines or "")


def _language(metadata: dict[str, Any]) -> str:
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        facts = metadata.get(key)
        if isinstance(facts, dict) and isinstance(facts.get(name), str):
            return str(facts[name])
    return ""
