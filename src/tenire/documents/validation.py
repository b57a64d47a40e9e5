"""Whether a document is one that its pipeline wants: rules, each with a name.

A document that breaks a rule goes to quarantine; the rule is what it is counted
under. The rules are asked in the order of ``Checks``, cheapest first, and the
first one that is broken is the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

from tenire.documents.reading import human_size
from tenire.errors import DocumentError
from tenire.pipeline.named_functions import function_identity, load_function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tenire.documents.draft import Draft

__all__ = ["Checks", "validate"]

_SHOWN = 500

_load = lru_cache(maxsize=32)(load_function)


@dataclass(frozen=True, slots=True)
class Checks:
    """What a pipeline asks of its documents. Without a value, a rule is not asked.

    Attributes:
        min_size: Fewest bytes of the file.
        max_size: Most bytes of the file.
        min_text: Fewest characters of the cleansed text.
        max_text: Most characters of the cleansed text.
        languages: Languages that it may be in, as ISO 639-1 codes. A text too short
            to tell is in none.
        required: What it has to name: ``title``, ``author``, ``date``, ``language``,
            ``pages``, or a name in ``About.extra``.
        function: A located name of a function (see ``pipeline.named_functions``). It
            is called with a ``Draft``, and returns ``None`` or ``True`` for a document
            that is fine, otherwise ``False`` or the reason as a text.
    """

    min_size: int | None = None
    max_size: int | None = None
    min_text: int | None = None
    max_text: int | None = None
    languages: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    function: str | None = None

    @property
    def identity(self) -> str:
        """What its verdicts depend on, as one string; empty without a rule.

        Raises:
            ConfigError: If the function cannot be loaded.
        """
        named = ((field.name, getattr(self, field.name)) for field in fields(self) if field.name != "function")
        rules = [f"{name}={value}" for name, value in named if value not in (None, ())]
        if self.function is not None:
            rules.append(f"function={function_identity(self.function)}")
        return " ".join(rules)


def validate(draft: Draft, checks: Checks) -> None:
    """Ask a document every rule that there is.

    Raises:
        DocumentError: Of stage ``validate``, with the first rule that was broken:
            what it expected, and what came.
        ConfigError: If the function cannot be loaded.
    """
    for rule, reason in _broken(draft, checks):
        hint = f"change the document, or {rule} under [pipelines.NAME.validate]"
        raise DocumentError(f"{rule}: {reason}", source=draft.source, stage="validate", rule=rule, hint=hint)


def _broken(draft: Draft, checks: Checks) -> Iterator[tuple[str, str]]:
    length, language = len(draft.text), draft.about.language
    if checks.min_size is not None and draft.size < checks.min_size:
        yield "min_size", f"expected at least {human_size(checks.min_size)}, got {human_size(draft.size)}"
    if checks.max_size is not None and draft.size > checks.max_size:
        yield "max_size", f"expected at most {human_size(checks.max_size)}, got {human_size(draft.size)}"
    if checks.min_text is not None and length < checks.min_text:
        yield "min_text", f"expected at least {checks.min_text:,} characters of text, got {length:,}"
    if checks.max_text is not None and length > checks.max_text:
        yield "max_text", f"expected at most {checks.max_text:,} characters of text, got {length:,}"
    if checks.languages and language not in checks.languages:
        got = f"a text in {language}" if language else "a text whose language is not sure"
        yield "languages", f"expected a text in {' or '.join(checks.languages)}, got {got}"
    for name in checks.required:
        if not draft.known(name):
            yield "required", f"expected a document that names its {name}, got one without"
    if checks.function is not None:
        reason = _verdict(_load(checks.function), draft)
        if reason is not None:
            yield "function", reason


def _verdict(function: Callable[[Draft], Any], draft: Draft) -> str | None:
    name = getattr(function, "__qualname__", repr(function))
    try:
        verdict = function(draft)
    except Exception as error:  # noqa: BLE001 - whatever a user's function does with one document, the others go on
        return f"{name} failed: {type(error).__name__}: {str(error)[:_SHOWN]}"
    if verdict is None or verdict is True:
        return None
    if verdict is False:
        return f"{name} refused it"
    if isinstance(verdict, str):
        return verdict.strip()[:_SHOWN] or f"{name} refused it"
    return f"{name} must return None, True, False or a text, got {type(verdict).__name__}"
