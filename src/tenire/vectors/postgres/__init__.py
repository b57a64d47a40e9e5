"""The store on a PostgreSQL server with the extension pgvector.

What is done goes one way: ``store`` is the face; ``commit`` writes, ``looking`` reads for
searches, ``upkeep`` for all else; each on a ``connection``, in what ``schema`` has made.
"""

from __future__ import annotations

__all__: list[str] = []
