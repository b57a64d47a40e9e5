"""Personal data in a text: found by form and check digits, and masked by kind.

======  =====================================================================
email   ``name@host.tld``, also ``"quoted name"@host.tld`` (RFC 5321)
iban    country, check digits and the length of that country (ISO 13616), with
        the remainder of 97 that makes it valid (ISO 7064)
card    13 to 19 digits in the usual groups that pass the check of Luhn (ISO/IEC
        7812), in the ranges that payment cards have
ip      IPv4 in four parts, IPv6 in all its forms (RFC 4291)
phone   ``+`` or ``00`` and 8 to 15 digits (E.164), American numbers of ten digits
        in their groups, and national numbers with a leading 0 in groups
======  =====================================================================

What is found is replaced by ``[email]``, ``[iban]``, …; masking a masked text
changes nothing. Names and addresses have no form that could be found this way.

Every pattern is bounded, so each is linear in the text, also in a hostile one. Each
begins with the characters that it can start with, since the engine skips to those
fast; what stands before is looked at only there.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

__all__ = ["KINDS", "mask"]

Span = tuple[int, int]

_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_QUOTED = re.compile(r'"(?:[^"\\\r\n]|\\[^\r\n]){1,62}"\Z')
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w-])")
_IBAN = re.compile(r"[A-Z](?<![0-9A-Za-z].)[A-Z][0-9]{2}(?: ?[A-Z0-9]){11,30}")
_CARD = re.compile(r"[2-6](?<![0-9A-Za-z_].)(?<![0-9][.,].)[0-9]{3}(?:[ -]?[0-9]){9,24}")
_IPV4 = re.compile(r"[0-9](?<![0-9A-Za-z_].)(?<![0-9]\..)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9])")
_IPV6 = re.compile(
    r"[0-9A-Fa-f:](?<![0-9A-Za-z_:.].)(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{1,39}"
    r"(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?<=[0-9A-Fa-f])(?:\.[0-9]{1,3}){3})?"
)
_PHONE = re.compile(
    r"[+(0-9](?<![0-9A-Za-z_+].)(?<![.,/-][0-9(])(?<![0-9] .)(?:"
    # E.164: "+" was taken, or the first 0 of "00"
    r"(?:(?<=\+)|(?<=0)0)(?=[1-9(])(?:[ ./()-]{0,2}[0-9]){8,15}"
    # (555) 123-4567, 555-123-4567, 555.123.4567, 1-555-123-4567
    r"|(?:(?<=\()[2-9][0-9]{2}\) ?|(?<=1)[ .-]\(?[2-9][0-9]{2}\)?[ .-]|(?<=[2-9])[0-9]{2}[ .-])"
    r"[2-9][0-9]{2}[ .-][0-9]{4}"
    # 030 1234567, 0171/123 45 67, (030) 1234567, 01 42 68 53 00
    r"|(?:(?<=\()0|(?<=0))[1-9][0-9]{0,4}(?:\)? ?[/-] ?|\)? )[0-9]{2,8}(?:[ -][0-9]{2,6}){0,4}"
    r")(?![0-9A-Za-z_]|[.,:/-][0-9])"
)
_ZIP = re.compile(r"[0-9]{5}-[0-9]{4}")
_DIGITS = re.compile(r"[0-9]+")

# Of the registry of ISO 13616: how long an IBAN of each country is.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask(text: str, kinds: Collection[str]) -> tuple[str, dict[str, int]]:
    """Replace personal data by what it is.

    Args:
        text: Any text.
        kinds: What to look for; names of ``KINDS``.

    Returns:
        The text, and how much of each kind was found; kinds that were not are left out.

    >>> mask("Write to ada@example.org.", ["email", "ip"])
    ('Write to [email].', {'email': 1})
    """
    found: list[tuple[int, int, str]] = []
    for kind, find in KINDS.items():
        if kind in kinds:
            found += [(start, end, kind) for start, end in find(text)]
    if not found:
        return text, {}
    found.sort(key=lambda span: span[0])
    counts: dict[str, int] = {}
    pieces: list[str] = []
    last = 0
    for start, end, kind in found:
        if start < last:
            continue  # part of what was masked already
        pieces += (text[last:start], f"[{kind}]")
        counts[kind] = counts.get(kind, 0) + 1
        last = end
    pieces.append(text[last:])
    return "".join(pieces), counts


def _emails(text: str) -> Iterator[Span]:
    yield from _quoted_emails(text)  # what looks like another one inside of the quotes begins after them
    last = 0
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(last, at - 64), at)
        host = _HOST.match(text, at + 1) if local is not None else None
        if local is not None and host is not None:
            start = local.start()
            # Quotes, brackets and dots before a name are no part of it.
            start += len(local[0]) - len(local[0].lstrip(".!#$%&'*+/=?^`{|}~-"))
            if start < at and text[at - 1] != ".":
                last = host.end()
                yield start, last
        at = text.find("@", at + 1)


def _quoted_emails(text: str) -> Iterator[Span]:
    last = 0
    quote = text.find('"@')
    while quote >= 0:
        at = quote + 1
        local = _QUOTED.search(text, max(last, at - 64), at)
        host = _HOST.match(text, at + 1) if local is not None else None
        if local is not None and host is not None:
            last = host.end()
            yield local.start(), last
        quote = text.find('"@', at)


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2])
        end = _after(text, match.start(), length) if length is not None else None
        if end is None or end > match.end() or text[end : end + 1].isalnum():
            continue
        compact = text[match.start() : end].replace(" ", "")
        digits = "".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])
        if int(digits) % 97 == 1:
            yield match.start(), end


def _after(text: str, start: int, count: int) -> int | None:
    """Return the offset after ``count`` characters that are no blanks."""
    for place in range(start, min(len(text), start + 2 * count)):
        count -= text[place] != " "
        if not count:
            return place + 1
    return None


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        # What follows may be digits too: an expiry date, an amount. A number ends with one of its groups.
        groups = list(_DIGITS.finditer(match[0]))
        number, best = "", 0
        for group in groups:
            number += group[0]
            if len(number) > 19:
                break
            if len(number) >= 13 and _is_card(number):
                best = group.end()
        end = match.start() + best
        if best and not text[end : end + 1].isalnum():
            yield match.start(), end


def _is_card(number: str) -> bool:
    total = sum(_LUHN_DOUBLED[int(digit)] if place % 2 else int(digit) for place, digit in enumerate(reversed(number)))
    return total % 10 == 0 and len(set(number)) > 1


def _addresses(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        try:
            IPv4Address(match[0])
        except AddressValueError:
            continue
        yield match.span()
    if "::" in text or text.count(":") >= 7:
        yield from _ipv6(text)


def _ipv6(text: str) -> Iterator[Span]:
    for match in _IPV6.finditer(text):
        found, end = match[0], match.end()
        if found[-1] == ":" and found[-2:] != "::":
            found, end = found[:-1], end - 1  # a colon of the sentence
        # Names of C++ and Rust look like addresses without digits: a::b, dead::beef.
        if found.count(":") < 2 or not _DIGITS.search(found) or text[end : end + 1].isalnum():
            continue
        try:
            IPv6Address(found)
        except AddressValueError:
            continue
        yield match.start(), end


def _phones(text: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        if _ZIP.fullmatch(match[0]):
            continue
        groups = [len(group) for group in _DIGITS.findall(match[0])]
        in_pairs = set(groups) == {2} and match[0][0] != "+"
        # French numbers are five pairs; other pairs are dumps of bytes.
        if sum(groups) >= (8 if match[0][0] == "+" else 9) and (not in_pairs or len(groups) == 5):
            yield match.span()


KINDS: dict[str, Callable[[str], Iterator[Span]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": _phones,
}
"""What can be looked for, and how: each yields spans of the text. The first ones go first."""
