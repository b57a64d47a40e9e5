"""From what a person types to a checked condition: ``kind = pdf and (date >= 2024 or title ~ "*draft*")``.

::

    condition := both ("or" both)*
    both      := one ("and" one)*
    one       := "not" one | "(" condition ")" | test
    test      := COLUMN ("=" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">=") VALUE
               | COLUMN ["not"] "in" "(" VALUE ("," VALUE)* ")"

A value stands in quotes of either kind, or is a word without blanks, brackets and commas.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tenire.app.where import COLUMNS, EXTRA, ORDERED, And, Not, Or, Test
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from tenire.app.where import Condition

__all__ = ["parse_where"]

_LONGEST = 10_000
_DEEPEST = 50
_MOST_RUNS = 4
_ALIASES = {"path": "source", "file": "source", "format": "kind", "lang": "language"}
_OPERATORS = ("=", "==", "!=", "~", "!~", "<", "<=", ">", ">=")
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:[T ].*)?)?)?", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>==|!=|!~|<=|>=|[=<>~(),])
      | (?P<word>(?:[^\s"'=<>~(),!]|(?<=\S)!(?![=~]))+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class _Token(NamedTuple):
    kind: str
    text: str
    place: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs


_END = "the end"


def parse_where(text: str) -> Condition:
    """Return the condition that a text stands for.

    Args:
        text: For example ``language = en and source ~ "docs/**/*.md"``.

    Raises:
        ConfigError: If it is none; names the place, and the nearest column for one that
            does not exist.
    """
    if len(text) > _LONGEST:
        message = f"a condition may have {_LONGEST:,} characters, this one has {len(text):,}"
        raise ConfigError(message, key="where", hint="name folders by patterns instead of every file")
    parser = _Parser(text)
    condition = parser.condition(0)
    parser.expect_end()
    return condition


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = 0

    def _split(self) -> list[_Token]:
        tokens = []
        place = 0
        while rest := self._text[place:].lstrip():
            place = len(self._text) - len(rest)
            match = _TOKEN.match(self._text, place)
            if match is None:
                what = "a quote that is not closed" if rest[0] in "\"'" else f"{rest[0]!r}"
                self._refuse(f"{what} at character {place + 1}")
            kind = match.lastgroup or ""
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            place = match.end()
        tokens.append(_Token("end", _END, len(self._text)))
        return tokens

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += token.kind != "end"
        return token

    def condition(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._now.is_word("or"):
            self._take()
            parts.append(self._both(depth))
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._now.is_word("and"):
            self._take()
            parts.append(self._one(depth))
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            self._refuse(f"brackets and nots more than {_DEEPEST} deep")
        if self._now.is_word("not"):
            self._take()
            return Not(self._one(depth + 1))
        if self._now.is_sign("("):
            self._take()
            found = self.condition(depth + 1)
            self._close()
            return found
        return self._test()

    def _test(self) -> Condition:
        column = self._column()
        negated = False
        if self._now.is_word("not"):
            self._take()
            negated = True
            if not self._now.is_word("in"):
                self._refuse_token("in", self._now)
        if self._now.is_word("in"):
            self._take()
            found = self._any_of(column)
            return Not(found) if negated else found
        operator = self._take()
        if not operator.is_sign(*_OPERATORS):
            self._refuse_token(f"one of {' '.join(_OPERATORS)} in after {column}", operator)
        sign = "=" if operator.text == "==" else operator.text
        if sign.startswith("!"):
            return Not(self._checked(column, sign[1:], self._value()))
        return self._checked(column, sign, self._value())

    def _any_of(self, column: str) -> Condition:
        if not self._now.is_sign("("):
            self._refuse_token("( after in", self._now)
        self._take()
        parts = [self._checked(column, "=", self._value())]
        while self._now.is_sign(","):
            self._take()
            parts.append(self._checked(column, "=", self._value()))
        self._close()
        return Or(tuple(parts))

    def _close(self) -> None:
        if not self._now.is_sign(")"):
            self._refuse_token(")", self._now)
        self._take()

    def _column(self) -> str:
        token = self._take()
        if token.kind != "word":
            self._refuse_token(f"a column ({', '.join(COLUMNS)} or {EXTRA}NAME)", token)
        name = _ALIASES.get(token.text.lower(), token.text)
        if name.lower() in COLUMNS:
            return name.lower()
        if name.lower().startswith(EXTRA) and len(name) > len(EXTRA):
            return EXTRA + name[len(EXTRA) :]
        choices = [*COLUMNS, *_ALIASES, "extra.NAME"]
        near = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.0)[0]
        message = f"where knows no column {token.text!r} (character {token.place + 1}); it knows {', '.join(COLUMNS)}"
        raise ConfigError(f"{message} and {EXTRA}NAME", key="where", hint=f"did you mean {near!r}?")

    def _value(self) -> str:
        token = self._take()
        if token.kind == "text":
            return _ESCAPED.sub(r"\1", token.text[1:-1])
        if token.kind != "word":
            self._refuse_token("a value", token)
        return token.text

    def _checked(self, column: str, operator: str, value: str) -> Test:
        if operator.startswith(("<", ">")) and column not in ORDERED and not column.startswith(EXTRA):
            self._refuse(f"{column} {operator}: values of {column} have no order; use =, != or ~")
        if operator == "~":
            return self._pattern(column, value)
        if column == "date" and value and not _DATE.fullmatch(value):
            self._refuse(f"the date {value!r}; write 2024, 2024-05 or 2024-05-17")
        if column == "pages" and not (value.isascii() and value.isdigit()):
            self._refuse(f"the number of pages {value!r}; write a whole number")
        return Test(column, operator, value)

    def _pattern(self, column: str, value: str) -> Test:
        if value.count("**") > _MOST_RUNS:
            self._refuse(f'a pattern with more than {_MOST_RUNS} "**"')
        test = Test(column, "~", value)
        try:
            _ = test.pattern
        except re.error as error:
            self._refuse(f"the pattern {value!r} ({error.msg})")
        return test

    def expect_end(self) -> None:
        if self._now.kind != "end":
            self._refuse_token("and, or, or the end", self._now)

    def _refuse_token(self, expected: str, token: _Token) -> NoReturn:
        where = "" if token.kind == "end" else f" at character {token.place + 1}"
        got = token.text if token.kind == "end" else repr(token.text)
        self._refuse(f"{got}{where} where {expected} is expected")

    def _refuse(self, what: str) -> NoReturn:
        message = f"where cannot be understood: {what}"
        raise ConfigError(message, key="where", hint="""for example: kind = pdf and source ~ "docs/**/*.pdf\"""")
