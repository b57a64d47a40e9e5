"""Functions of a user that a configuration names: ``module:function``.

The module is imported as any other one would be; the directory of the
configuration file counts as a place to look, after all others. A name that was
*located* holds that directory, so that worker processes and later runs find
the same function: ``/home/ada/project/checks:long_enough``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NAMED_FUNCTION", "body_hash", "function_identity", "load_function", "located", "name_of"]

NAMED_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
"""What such a name looks like in a configuration, as a regular expression."""

_WRITTEN = re.compile(NAMED_FUNCTION)


def located(base: Path, name: str) -> str:
    """Return a name with the directory to look in, absolute; a name that has one is left as it is.

    >>> from pathlib import Path
    >>> located(Path("/home/ada"), "checks:long_enough")
    '/home/ada/checks:long_enough'
    """
    return os.path.join(base, name) if _WRITTEN.fullmatch(name) else name


def name_of(function: Callable[..., Any]) -> str:
    """Return the located name of a function; one of the main script is named after its file.

    It may be one that ``load_function`` does not find: of a function inside of another one.
    """
    module = sys.modules.get(function.__module__)
    file = getattr(module, "__file__", None)
    written = function.__module__
    if written in ("__main__", "__mp_main__") and file is not None:
        written = os.path.splitext(os.path.basename(file))[0]
    name = f"{written}:{function.__qualname__}"
    if file is None:
        return name
    base = os.path.dirname(file)
    levels = written.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(levels):
        base = os.path.dirname(base)
    return os.path.join(base, name)


def _main_script(base: str, module_name: str) -> Any:
    """Return the main script, if that is what a name means: importing it would run it once more."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or os.path.splitext(file)[0] != os.path.join(base, module_name):
        return None
    return main


def load_function(name: str, *, coroutines: bool = False) -> Callable[..., Any]:
    """Return the function that a located name means.

    Args:
        name: As ``located`` made it.
        coroutines: Whether it may be a coroutine function.

    Raises:
        ConfigError: If there is no such module or function, or the module cannot be imported.
    """
    import inspect

    base, written = os.path.split(name)
    module_name, _, attribute = written.partition(":")
    if base and base not in sys.path:
        sys.path.append(base)  # last: nothing of the user's hides what others import
    try:
        found: Any = _main_script(base, module_name) or importlib.import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        reason = f"there is no module {error.name}" if missing else f"{type(error).__name__}: {error}"  # type: ignore[attr-defined]
        message = f"the function {written} cannot be imported: {reason}"
        hint = f"put {module_name.partition('.')[0]}.py into {base}, or install its package" if missing else None
        raise ConfigError(message, hint=hint) from error
    file = getattr(found, "__file__", None) or module_name
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found) or (inspect.iscoroutinefunction(found) and not coroutines):
        got = "nothing of that name" if found is None else f"{type(found).__name__} {attribute}"
        got = f"the coroutine function {attribute}" if inspect.iscoroutinefunction(found) else got
        message = f"{written} must be a plain function of {file}, got {got}"
        raise ConfigError(message)
    function: Callable[..., Any] = found
    return function


def function_identity(name: str) -> str:
    """Return what a function is, as one string that changes when its own lines do.

    Args:
        name: As ``located`` made it. What the function calls is not looked at.

    Raises:
        ConfigError: As ``load_function``.
    """
    return f"{os.path.basename(name)}#{body_hash(load_function(name))}"


def body_hash(function: Callable[..., Any]) -> str:
    """Return a hash of the lines of a function, or of its code where there are none: 16 hexadecimal digits."""
    import inspect

    try:
        body = inspect.getsource(function)
    except (OSError, TypeError):
        body = repr(getattr(getattr(function, "__code__", None), "co_code", b""))
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()
