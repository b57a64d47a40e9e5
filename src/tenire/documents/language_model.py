"""The model that tells languages apart, kept so that a worker is ready at once.

py3langid brings its model packed: unpacking takes half a second and 100 MB, in each
worker of each run. So it is unpacked once, without the languages that have no ISO
639-1 code, into one file of the user's cache, which workers map into memory: it is
there in milliseconds, of it only what is used is read, and all workers share that. Its
numbers are then used as they are.

Method: Lui and Baldwin, *langid.py: An off-the-shelf language identification tool*,
ACL 2012: multinomial naive Bayes over byte n-grams, found by one automaton.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import mmap
import os
import tempfile
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tenire.errors import MissingExtraError
from tenire.storage.cache_folder import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

__all__ = ["NOTHING", "Model", "identifier"]

NOTHING = "zxx"
"""What the model calls a text in no language: numbers, code."""

_ALIGNED = 64


_MOST_LIKELY = 4


class Model:
    """The unpacked model.

    Args:
        classes: The languages; one may stand there twice, in two scripts.
        arrays: The numbers that ``_unpacked`` names.
    """

    def __init__(self, classes: list[str], arrays: Arrays) -> None:
        self._classes = classes
        self._features, self._priors = arrays["features"], arrays["priors"]
        self._moves, self._rows, self._outputs = (arrays[name].data for name in ("moves", "rows", "outputs"))

    def likely(self, text: str) -> list[tuple[str, float]]:
        """Return the most likely languages of a text, each with how sure it is, from 0 to 1; most likely first."""
        import numpy as np

        data = (text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")
        seen = self._seen(data)
        if not seen:
            return []
        places = np.fromiter(seen.keys(), np.intp, len(seen))
        counts = np.fromiter(seen.values(), np.float32, len(seen))
        scores = np.log1p(counts) @ self._features[places].astype(np.float32) + self._priors
        # Divided by the root of the length, they stay comparable however long the text is.
        shares = np.exp((scores - scores.max()) / math.sqrt(len(data)))
        total = float(shares.sum())
        sure: dict[str, float] = {}
        for place in np.argpartition(-shares, _MOST_LIKELY)[:_MOST_LIKELY].tolist():
            code = self._classes[place]
            sure[code] = sure.get(code, 0.0) + float(shares[place]) / total
        return sorted(sure.items(), key=lambda item: item[1], reverse=True)

    def _seen(self, data: bytes) -> dict[int, int]:
        """Return how often each feature stands in a text."""
        moves, rows, outputs = self._moves, self._rows, self._outputs
        state = 0
        seen: dict[int, int] = {}
        for letter in data:
            state = moves[(rows[state] << 8) + letter]
            feature = outputs[state]
            if feature >= 0:
                seen[feature] = seen.get(feature, 0) + 1
        return seen


@lru_cache(maxsize=1)
def identifier() -> Model:
    """Return the model.

    Raises:
        MissingExtraError: If py3langid is not installed.
    """
    if importlib.util.find_spec("py3langid") is None:
        raise MissingExtraError("telling languages apart", extra="data", missing="py3langid")
    folder = cache_folder()
    path = None if folder is None else folder / f"languages-{version('py3langid')}.bin"
    found = _mapped(path) if path is not None else None
    if found is None:
        classes, arrays = _unpacked()
        if path is not None and _keep(path, classes, arrays):
            found = _mapped(path)
        found = found or (classes, arrays)
    return Model(*found)


def _unpacked() -> tuple[list[str], Arrays]:
    import numpy as np
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    features, priors, classes, moves, rows, outputs = load_model(MODEL_DIR / MODEL_FILE)
    kept = [place for place, code in enumerate(classes) if len(code) == 2 or code == NOTHING]
    return [classes[place] for place in kept], {
        "features": np.ascontiguousarray(features[:, kept]),
        "priors": np.ascontiguousarray(priors[kept]),
        "moves": np.asarray(moves),
        "rows": np.asarray(rows),
        "outputs": np.asarray(outputs, dtype=np.int32),
    }


def _keep(path: Path, classes: list[str], arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Write the file: a line of JSON, then each array at a round offset; return whether it is there now."""
    header = {name: (array.dtype.str, list(array.shape)) for name, array in arrays.items()}
    first = json.dumps({"classes": classes, "arrays": header}).encode() + b"\n"
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a reader sees a whole file or none, whoever is killed.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(first)
            for array in arrays.values():
                file.write(bytes(-file.tell() % _ALIGNED))
                file.write(array.data.cast("B"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    return True


def _mapped(path: Path) -> tuple[list[str], Arrays] | None:
    """Return what is in the file, or ``None`` if there is none or it is not ours."""
    import numpy as np

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(1 << 16))
            place = file.tell()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)  # or the system would read ahead what nobody needs
        for name, (kind, shape) in header["arrays"].items():
            place += -place % _ALIGNED
            count = int(np.prod(shape))
            arrays[name] = np.frombuffer(mapped, dtype=kind, count=count, offset=place).reshape(shape)
            place += arrays[name].nbytes
        return (list(header["classes"]), arrays) if place == len(mapped) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, cut off, or something else: it is made again
