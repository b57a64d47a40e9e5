"""The main text of an HTML page, with its headings, lists, tables and code.

The text is that of the page's own main element (``<main>``, ``role=main``, a
single ``<article>``), or of its body, without what pages repeat: menus, footers,
banners, permalinks. Heuristics that score blocks by their link density were
measured and rejected: on real manuals they dropped 6 % (PostgreSQL) and 16 %
(Python) of the text, whole lists and paragraphs, and a search cannot find what
was thrown away; a leftover menu costs a little noise.

Headings, code and tables are marked for ``structure``: the marks go into the source,
at 400 MB/s, since putting a node into a tree costs 50 microseconds.

Pages are hostile by accident. Three guards keep the cost linear and bounded: a
tree takes up to fifty times the memory of its page, so pages over 8 MiB are read
in pieces, each a tree of its own; tags with thousands of attributes are emptied
before parsing (the parser compares each attribute with all before it); and pages
whose nested lists would be indented to a hundred times their size are extracted
without layout.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tenire.documents.structure import CODE, CODE_END, TABLE, TABLE_END, heading_mark, plain, without_marks
from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resiliparse.parse.html import HTMLTree
    from resiliparse.parse.html.node import ElementNode, Node

__all__ = ["extract"]

_MAIN = "main, [role=main], article"
# Inside a main element little is left to remove; without one, the page's frame goes too.
# Few and cheap on purpose: each selector is tried on each element.
_NOISE = ["nav", "[role=navigation]", ".headerlink", ".id_link", ".anchor-link"]
_FRAME = [
    *_NOISE,
    "body > footer",
    "body > aside",
    "[role=contentinfo]",
    "[role=search]",
    ".navheader",
    ".navfooter",
    ".sphinxsidebar",
    ".breadcrumb",
    ".menu",
    ".sidebar:not(aside)",
    "#sidebar",
    "#footer",
    ".footer",
    "[class*=cookie-]",
]
_SHORT_MAIN = 500  # characters; a shorter main element may be a shell that scripts fill
_MIN_SHARE = 0.2
_MANY_ARTICLES = 50

_MAX_TREE = 8 << 20  # characters
_PIECE = 4 << 20
_BOUNDARIES = ("</p>", "</div>", "</tr>", "</li>", "</pre>", ">", " ")

# A tag without attributes that hold ">" (else its mark gets lost in one of them, which
# nobody will see), and ends of blocks. A look at two characters spares most tags the rest.
_MARKED = re.compile(
    r"<(?=[hHpPtT/][1-6rRaApPtT])(?:h([1-6])\b[^<>]{0,999}>|(pre)\b[^<>]{0,999}>|/(pre|table)>|table\b)",
    re.I,
)
_LONG_TAG = 8192
_STRIDE = _LONG_TAG // 2
_TAG = re.compile(r"<[A-Za-z][^\s/>]{0,100}")
_MAX_INDENT = 32 << 20


def extract(page: str) -> tuple[str, str]:
    """Return (title, text) of a page.

    Args:
        page: The page's source, decoded.

    Returns:
        Its title, or an empty string, and its main text; not yet cleansed. The
        text begins with the title unless it begins with its own heading.

    Raises:
        MissingExtraError: If resiliparse is not installed.
    """
    try:
        from resiliparse.parse.html import HTMLTree
    except ImportError as error:
        raise MissingExtraError("reading HTML", extra="data", missing="resiliparse") from error
    title = ""
    texts = []
    page = without_marks(page)
    for piece in _pieces(page):
        tree = HTMLTree.parse(_MARKED.sub(_mark, _without_long_tags(piece)))
        title = title or " ".join(plain(tree.title or "").split())
        if tree.body is not None:
            texts.append(_text(tree, tree.body, piece, whole=len(piece) == len(page)))
    text = "\n\n".join(texts)
    if title and not _names_itself(title, text):
        text = f"{heading_mark(1)}{title}\n\n{text}"
    return title, text


def _pieces(page: str) -> Iterator[str]:
    """Cut a huge page where a block ends, so that hardly anything is torn."""
    start = 0
    while len(page) - start > _MAX_TREE:
        half, full = start + _PIECE // 2, start + _PIECE
        for boundary in _BOUNDARIES:
            found = page.rfind(boundary, half, full)
            if found >= 0:
                full = found + len(boundary)
                break
        yield page[start:full]
        start = full
    yield page[start:] if start else page


def _names_itself(title: str, text: str) -> bool:
    """Whether a text begins with its title, or with the heading that the title was made from."""
    head = plain(text[:2000]).lstrip()
    heading = " ".join(head.partition("\n")[0].split())
    return bool(heading and heading in title) or title in " ".join(head.split())


def _mark(found: re.Match[str]) -> str:
    """Return a tag with its mark: inside a heading and code, outside a table, which holds no text of its own."""
    tag, (level, code, ended) = found.group(), found.groups()
    if level:
        return tag + heading_mark(int(level))
    if code:
        return tag + CODE
    if ended is None:
        return TABLE + tag
    return CODE_END + tag if ended.lower() == "pre" else tag + TABLE_END


def _text(tree: HTMLTree, body: ElementNode, page: str, *, whole: bool) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    main = _main_element(body) if whole else None
    if main is not None:
        # The extractor takes whole trees only.
        body.replace_children(main)
    return extract_plain_text(
        tree,
        preserve_formatting=not _indents_too_much(body, page),
        skip_elements=_FRAME if main is None else _NOISE,
    )


def _main_element(body: ElementNode) -> ElementNode | None:
    """The one element that holds the page's own text, or ``None``."""
    candidates = body.query_selector_all(_MAIN)
    if len(candidates) > _MANY_ARTICLES:
        return None
    found = [node for node in candidates if not _inside_another(node)]
    if len(found) != 1:
        return None  # none, or a list of articles: all of it is content
    main = found[0]
    length = len((main.text or "").strip())
    if length < _SHORT_MAIN and length < _MIN_SHARE * len(body.text or ""):
        return None
    return main


def _inside_another(node: ElementNode) -> bool:
    parent = node.parent_element
    return parent is not None and parent.closest(_MAIN) is not None


def _without_long_tags(page: str) -> str:
    # Whatever is as long as two strides holds one whole, and looking where the next ">"
    # is costs hardly anything.
    if all(page.find(">", start, start + _STRIDE) >= 0 for start in range(0, len(page) - _STRIDE + 1, _STRIDE)):
        return page
    segments = page.split(">")
    for index, segment in enumerate(segments):
        if len(segment) > _LONG_TAG:
            tag = _TAG.search(segment)
            if tag is not None and len(segment) - tag.end() > _LONG_TAG:
                segments[index] = segment[: tag.end()]
    return ">".join(segments)


def _indents_too_much(body: ElementNode, page: str) -> bool:
    """Whether the layout of nested lists would outgrow the page: two blanks a level, for each item."""
    # Half of the tags are items and the other half lists at the worst; a tag is three characters long, or longer.
    if (len(page) // 3) ** 2 <= 2 * _MAX_INDENT or page.count("<") ** 2 <= 2 * _MAX_INDENT:
        return False
    items = len(body.get_elements_by_tag_name("li"))
    lists = len(body.get_elements_by_tag_name("ul")) + len(body.get_elements_by_tag_name("ol"))
    if 2 * items * lists <= _MAX_INDENT:
        return False
    return 2 * items * _list_depth(body) > _MAX_INDENT


def _list_depth(body: ElementNode) -> int:
    """The deepest nesting of lists; walked by hand, since real trees are deeper than the stack."""
    deepest = depth = 0
    node: Node | None = body
    while node is not None:
        if node.tag in ("ul", "ol"):
            depth += 1
            deepest = max(deepest, depth)
        following = node.first_child
        while following is None and node is not None and node != body:
            if node.tag in ("ul", "ol"):
                depth -= 1
            following = node.next
            if following is None:
                node = node.parent
        node = following
    return deepest
