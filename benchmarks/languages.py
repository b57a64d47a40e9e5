"""How often a language is told right, on translations that this machine has.

Run: python benchmarks/languages.py

Texts are what programs of this machine say, out of their catalogues of messages
(``/usr/share/locale/*/LC_MESSAGES/*.mo``): about 120 and about 400 characters each.
"""

from __future__ import annotations

import gettext
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

from _common import report

from tenire.documents.language import language_of

CATALOGUES = Path("/usr/share/locale")
TEXTS = 40
# The catalogue's name, where the language's own code is another one.
SAME = {"nb": {"no", "nb", "da", "nn"}, "nn": {"no", "nn"}, "hr": {"hr", "bs", "sr"}, "ms": {"ms", "id"}}


def main() -> None:
    """Print the share of texts that are told, and of those the share that is right."""
    rng = random.Random(1)
    for size in (120, 400):
        told: Counter[str] = Counter()
        right: Counter[str] = Counter()
        wrong: defaultdict[str, Counter[str]] = defaultdict(Counter)
        count = 0
        spent = 0.0
        for language, sentences in sorted(catalogues().items()):
            for _ in range(TEXTS):
                text = ""
                while len(text) < size:
                    text += rng.choice(sentences) + "\n"
                started = time.process_time()
                found = language_of(text)
                spent += time.process_time() - started
                count += 1
                told[language] += bool(found)
                if found in SAME.get(language, {language}):
                    right[language] += 1
                elif found:
                    wrong[language][found] += 1
        worst = sorted(told, key=lambda language: right[language] / max(1, told[language]))[:8]
        report(
            "languages",
            characters=size,
            texts=count,
            languages=len(told),
            told=round(sum(told.values()) / count, 3),
            right=round(sum(right.values()) / sum(told.values()), 3),
            milliseconds=round(spent / count * 1e3, 2),
            least_sure={name: [told[name], right[name], dict(wrong[name])] for name in worst},
        )


def catalogues() -> dict[str, list[str]]:
    """Return sentences of translations by language, of languages that have enough of them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in CATALOGUES.glob("*/LC_MESSAGES/*.mo"):
        language = file.parts[4]
        if len(language) == 2:
            with file.open("rb") as opened:
                try:
                    messages = gettext.GNUTranslations(opened)._catalog  # noqa: SLF001  # type: ignore[attr-defined]
                except (OSError, UnicodeError):
                    continue
            found[language] += [
                text for key, text in messages.items() if key and text != key and len(text) > 40 and "\n" not in text
            ]
    return {language: sentences for language, sentences in found.items() if len(sentences) >= TEXTS}


if __name__ == "__main__":
    main()
