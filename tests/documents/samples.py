"""Small real files of many formats, made here so that tests can break them on purpose."""

# ruff: noqa: E501 - the XML of real files has long names

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_OFFICE = "http://schemas.openxmlformats.org"


def rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def pdf(
    *pages: str,
    title: str = "A Small Manual",
    author: str = "Ada Lovelace",
    date: str = "D:20240131120000Z",
    password: str | None = None,
) -> bytes:
    """A PDF with one font and a text layer; lines of ``pages`` that begin with "# " are set large.

    With a password it is encrypted as PDF 1.3 does it: RC4, 40 bits.
    """
    numbers = range(len(pages))
    objects: list[bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{4 + 2 * n} 0 R' for n in numbers)}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    identity = b"0123456789abcdef"
    key, encryption = b"", b""
    if password is not None:
        padded = (password.encode() + _PADDING)[:32]
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        rights = -4
        key = hashlib.md5(padded + owner + rights.to_bytes(4, "little", signed=True) + identity).digest()[:5]
        user = rc4(key, _PADDING)
        encryption = f"<< /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{user.hex()}> /P {rights} >>".encode()
    for n, page in zip(numbers, pages, strict=True):
        shown = []
        for line in page.split("\n"):
            size = 24 if line.startswith("# ") else 12
            words = line.removeprefix("# ").replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            shown.append(f"/F1 {size} Tf ({words}) Tj 0 -30 Td")
        stream = f"BT 72 720 Td {' '.join(shown)} ET".encode()
        number = 5 + 2 * n
        if key:
            mixed = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[: len(key) + 5]
            stream = rc4(mixed, stream)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {number} 0 R >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    info = len(objects) + 1
    mixed = hashlib.md5(key + info.to_bytes(3, "little") + b"\0\0").digest()[: len(key) + 5]
    facts = {"Title": title, "Author": author, "CreationDate": date}
    strings = {
        name: rc4(mixed, text.encode("latin-1")) if key else text.encode("latin-1") for name, text in facts.items()
    }
    objects.append(f"<< {' '.join(f'/{name} <{text.hex()}>' for name, text in strings.items())} >>".encode())
    if encryption:
        objects.append(encryption)
    out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    more = f" /Encrypt {len(objects)} 0 R /ID [<{identity.hex()}> <{identity.hex()}>]" if encryption else ""
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {info} 0 R{more} >>\n".encode()
    return out + f"startxref\n{table}\n%%EOF\n".encode()


def archive(parts: Mapping[str, str | bytes], *, deflated: bool = True) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return out.getvalue()


def _relation(number: int, kind: str, target: str) -> str:
    return (
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/officeDocument/2006/relationships/{kind}" Target="{target}"/>'
    )


def _relations(*relations: str) -> str:
    return f'<?xml version="1.0"?><Relationships xmlns="{_OFFICE}/package/2006/relationships">{"".join(relations)}</Relationships>'


def _types(**overrides: str) -> str:
    inner = "".join(
        f'<Override PartName="/{part.replace("__", "/")}.xml" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/>'
        for part, kind in overrides.items()
    )
    return (
        f'<?xml version="1.0"?><Types xmlns="{_OFFICE}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{inner}</Types>'
    )


def docx(text: str = "Some words.", *, heading: str = "Intro") -> bytes:
    """A Word document with a heading, a paragraph and a table; ``text`` is put in as XML."""
    word = f'xmlns:w="{_OFFICE}/wordprocessingml/2006/main"'

    def paragraph(words: str, style: str = "") -> str:
        look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{look}<w:r><w:t>{words}</w:t></w:r></w:p>"

    cells = "".join(
        "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in (("name", "price"), ("apple", "2"))
    )
    return archive(
        {
            "[Content_Types].xml": _types(word__document="wordprocessingml.document"),
            "_rels/.rels": _relations(
                _relation(1, "officeDocument", "word/document.xml"),
                '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/>',
            ),
            "docProps/core.xml": (
                '<?xml version="1.0"?><cp:coreProperties'
                f' xmlns:cp="{_OFFICE}/package/2006/metadata/core-properties"'
                ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"'
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><dc:title>Report</dc:title>'
                '<dc:creator>Bob</dc:creator><dcterms:created xsi:type="dcterms:W3CDTF">2020-05-06T07:08:09Z'
                "</dcterms:created></cp:coreProperties>"
            ),
            "word/document.xml": (
                f'<?xml version="1.0"?><w:document {word}><w:body>{paragraph(heading, "Heading1")}{paragraph(text)}'
                f"<w:tbl>{cells}</w:tbl></w:body></w:document>"
            ),
        }
    )


def pptx(*slides: tuple[str, str]) -> bytes:
    """A presentation of slides with a title and a body each."""
    names = f'xmlns:a="{_OFFICE}/drawingml/2006/main" xmlns:p="{_OFFICE}/presentationml/2006/main" xmlns:r="{_OFFICE}/officeDocument/2006/relationships"'

    def shape(number: int, words: str, place: str) -> str:
        return (
            f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="s"/><p:cNvSpPr/><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:spPr/>'
            f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
        )

    parts = {
        "[Content_Types].xml": _types(ppt__presentation="presentationml.presentation"),
        "_rels/.rels": _relations(_relation(1, "officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f'<?xml version="1.0"?><p:presentation {names}><p:sldIdLst>'
        + "".join(f'<p:sldId id="{256 + n}" r:id="rId{n + 1}"/>' for n in range(len(slides)))
        + "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations(
            *(_relation(n + 1, "slide", f"slides/slide{n + 1}.xml") for n in range(len(slides)))
        ),
    }
    for n, (title, body) in enumerate(slides, 1):
        parts[f"ppt/slides/slide{n}.xml"] = (
            f'<?xml version="1.0"?><p:sld {names}><p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id="1" name=""/>'
            "<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>"
            + shape(2, title, '<p:ph type="title"/>')
            + shape(3, body, "")
            + "</p:spTree></p:cSld></p:sld>"
        )
    return archive(parts)


def xlsx(sheet: str, rows: list[list[str | float]]) -> bytes:
    """A workbook of one sheet."""

    def cell(column: int, row: int, value: str | float) -> str:
        place = f'r="{chr(65 + column)}{row}"'
        if isinstance(value, str):
            return f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'
        return f"<c {place}><v>{value}</v></c>"

    lines = "".join(
        f'<row r="{number}">' + "".join(cell(column, number, value) for column, value in enumerate(row)) + "</row>"
        for number, row in enumerate(rows, 1)
    )
    main = f'xmlns="{_OFFICE}/spreadsheetml/2006/main"'
    return archive(
        {
            "[Content_Types].xml": _types(xl__workbook="spreadsheetml.sheet"),
            "_rels/.rels": _relations(_relation(1, "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<?xml version="1.0"?><workbook {main} xmlns:r="{_OFFICE}/officeDocument/2006/relationships">'
            f'<sheets><sheet name="{sheet}" sheetId="1" r:id="rId1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relations(_relation(1, "worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f'<?xml version="1.0"?><worksheet {main}><sheetData>{lines}</sheetData></worksheet>',
        }
    )


def odt(text: str = "Some words.") -> bytes:
    """An OpenDocument text with a heading and a paragraph."""
    office = "urn:oasis:names:tc:opendocument:xmlns"
    return archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": f'<?xml version="1.0"?><manifest:manifest xmlns:manifest="{office}:manifest:1.0"/>',
            "meta.xml": f'<?xml version="1.0"?><office:document-meta xmlns:office="{office}:office:1.0"'
            f' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:meta="{office}:meta:1.0"><office:meta>'
            "<dc:title>Letter</dc:title><meta:initial-creator>Eve</meta:initial-creator>"
            "<meta:creation-date>2021-01-02T03:04:05</meta:creation-date></office:meta></office:document-meta>",
            "content.xml": f'<?xml version="1.0"?><office:document-content xmlns:office="{office}:office:1.0"'
            f' xmlns:text="{office}:text:1.0"><office:body><office:text><text:h text:outline-level="1">Head</text:h>'
            f"<text:p>{text}</text:p></office:text></office:body></office:document-content>",
        },
        deflated=False,
    )


def epub(**chapters: str) -> bytes:
    """A book; its chapters are in the order of the arguments, which is not that of their names in the archive."""
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in sorted(chapters)
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/c.opf": '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Book &amp; Co</dc:title><dc:creator>Zoe</dc:creator>'
        f"<dc:date>1999-01-01</dc:date></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    parts |= {
        f"OEBPS/{name}.xhtml": f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
        for name, body in sorted(chapters.items())
    }
    return archive(parts, deflated=False)


def notebook(*cells: dict[str, Any]) -> bytes:
    """A Jupyter notebook."""
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"language": "python"}}, "cells": list(cells)}
    ).encode()


def message(subject: str = "Lunch", body: str = "At noon?", **headers: str) -> bytes:
    """An e-mail."""
    lines = {
        "From": "Ann <ann@example.org>", "To": "bob@example.org", "Date": "Tue, 01 Jul 2003 10:52:37 +0200", "Subject": subject
    } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
    return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode() + b"\n" + body.encode() + b"\n"


def mailbox(*messages: bytes) -> bytes:
    """A mailbox of messages."""
    return b"".join(b"From ann@example.org Tue Jul  1 10:52:37 2003\n" + each + b"\n" for each in messages)


def odp(*slides: str, notes: str = "", frame: str = "") -> bytes:
    """An OpenDocument presentation; slides are put in as XML."""
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(
        f'xmlns:{short}="{urn}:{name}:1.0"'
        for short, name in (
            ("office", "office"),
            ("draw", "drawing"),
            ("text", "text"),
            ("presentation", "presentation"),
        )
    )
    said = (
        f"<presentation:notes><draw:frame><text:p>{notes}</text:p></draw:frame></presentation:notes>" if notes else ""
    )
    pages = "".join(
        f"<draw:page>{said}<draw:frame><text:list><text:p>{slide}</text:p></text:list>{frame}</draw:frame></draw:page>"
        for slide in slides
    )
    return archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.presentation",
            "meta.xml": f'<office:document-meta xmlns:office="{urn}:office:1.0" xmlns:meta="{urn}:meta:1.0"'
            ' xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta><dc:title>Birds</dc:title>'
            "<meta:initial-creator>Eve</meta:initial-creator><dc:creator>Ben</dc:creator>"
            "<meta:creation-date>2021-01-02T03:04:05</meta:creation-date></office:meta></office:document-meta>",
            "content.xml": f"<office:document-content {names}><office:body><office:presentation>{pages}"
            "</office:presentation></office:body></office:document-content>",
        }
    )
