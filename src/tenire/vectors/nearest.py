"""How LanceDB is asked for the passages whose vectors are nearest, among all or among some.

The index is asked to look so deep that its recall@10 is what ``benchmarks/recall.py`` says.
Where only some passages are wanted, LanceDB tests each row against their runs of keys, as
long as these are few. Many runs are most often many passages too: then it is quicker to look
deeper than needed and pass over the others, and in the end at all of them, so that the
result is the right one however few are wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.vectors.lance_errors import shortened
from tenire.vectors.lance_import import awaited

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.row_places import RowPlaces

__all__ = ["index_damage", "nearest", "vector_query"]

# Comparing so many vectors takes no longer than finding those of them that the index leads to.
_FEW = 20_000
_DEEPEST = 4_000
_EF = 400
_PROBES = 64  # partitions of some 8,000 passages


def vector_query(query: Any, limit: int, *, exact: bool) -> Any:
    """Return LanceDB's question for the nearest ``limit`` passages.

    Args:
        query: LanceDB's question for what is nearest to a vector, of a blocking table or of an asynchronous one.
        limit: At most so many.
        exact: Compare with every vector, even where there is an index.
    """
    query = query.distance_type("cosine").limit(limit)
    if exact:
        return query.bypass_vector_index()
    # Without an index these change nothing. ``ef`` is for a store whose index is still an HNSW graph.
    return query.nprobes(_PROBES).ef(max(_EF, 2 * limit)).refine_factor(2)


def nearest(
    table: Any,
    vector: NDArray[np.float32],
    limit: int,
    within: KeySpans | None,
    *,
    exact: bool,
    places: RowPlaces | None = None,
) -> dict[int, float]:
    """Return the keys of the nearest passages, among all or among some, with their cosines, best first.

    Args:
        table: LanceDB's asynchronous table.
        vector: Shape ``(dimension,)``, any length but zero.
        limit: At most so many.
        within: Keys of the only passages to look at, or ``None`` for all.
        exact: Compare with every vector, even where there is an index.
        places: Where each key stands, if that is known: then no key is read.
    """

    def ask(limit: int, *, exact: bool, condition: str = "") -> dict[int, float]:
        query = vector_query(table.query().nearest_to(vector).column("vector"), limit, exact=exact)
        return _answer(query.where(condition) if condition else query, places)

    if within is None:
        return ask(limit, exact=exact)
    if not within.total:
        return {}
    condition = within.condition()
    if condition is not None:
        exact = exact or within.total <= _FEW
        found = ask(limit, exact=exact, condition=condition)
        if exact or len(found) >= min(limit, within.total):
            return found
        return ask(limit, exact=True, condition=condition)
    rows = awaited(table.count_rows())
    depth = 2 * limit * max(1, rows // within.total)
    while True:
        everything = depth >= min(rows, _DEEPEST)
        depth = rows if everything else depth
        found = ask(depth, exact=exact or everything)
        inside = {key: cosine for key, cosine in found.items() if key in within}
        if everything or len(inside) >= limit:
            return dict(list(inside.items())[:limit])
        depth *= 4


def index_damage(table: Any, dimension: int) -> str:
    """Return why the vector index cannot be searched in all its parts; nothing if it can, or there is none.

    Args:
        table: LanceDB's blocking table.
        dimension: Length of a vector.
    """
    import numpy as np

    if not any(index.columns == ["vector"] for index in table.list_indices()):
        return ""
    query = table.search(np.ones(dimension, np.float32), vector_column_name="vector")
    try:
        vector_query(query, 1, exact=False).nprobes(table.count_rows()).select(["key", "_distance"]).to_arrow()
    except (OSError, RuntimeError, ValueError) as error:
        return shortened(error)
    return ""


def _answer(query: Any, places: RowPlaces | None) -> dict[int, float]:
    if places is None:
        found = awaited(query.select(["key", "_distance"]).to_arrow())
        keys = found.column("key").to_pylist()
    else:
        found = awaited(query.select(["_distance"]).with_row_id().to_arrow())
        keys = places.keys_of(found.column("_rowid").to_numpy())
    cosines = (1.0 - distance for distance in found.column("_distance").to_pylist())
    return dict(sorted(zip(keys, cosines, strict=True), key=lambda entry: -entry[1]))
