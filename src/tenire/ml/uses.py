"""What the rows of a training are for."""

from __future__ import annotations

__all__ = ["TEST", "TRAINING", "VALIDATION"]

TRAINING, VALIDATION, TEST = 0, 1, 2
