"""``doctor``: what this machine offers and what is missing."""

from __future__ import annotations

from tenire.cli.common import Settings

__all__ = ["doctor"]


def doctor(settings: Settings) -> int:
    """Show what this machine offers and what it lacks.

    Each thing that is missing comes with its remedy.
    """
    from tenire.app.doctor import examine

    diagnosis = examine(settings.home_path())
    output = settings.output
    if output.as_json:
        output.json({"checks": diagnosis.as_json()})
    else:
        from tenire.cli.tables import diagnosis_lines

        output.show(*diagnosis_lines(diagnosis))
    return 0 if diagnosis.usable else 1
