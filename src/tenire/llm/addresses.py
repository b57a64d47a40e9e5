"""Where calls of a provider go, and through which proxy.

============================ ==========================================================
base_url                     calls go to
============================ ==========================================================
``http://localhost:11434/v1``  ``…/v1/chat/completions``, ``…/v1/embeddings``
``https://NAME.openai.azure.com`` ``…/openai/deployments/MODEL/chat/completions?api-version=…``
``https://NAME.openai.azure.com/openai/v1`` ``…/openai/v1/chat/completions``
``https://NAME.services.ai.azure.com/models`` ``…/models/chat/completions?api-version=…``
``https://NAME.services.ai.azure.com/anthropic`` ``…/anthropic/v1/messages``
``https://api.anthropic.com``  ``…/v1/messages``
============================ ==========================================================
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from tenire.errors import ConfigError
from tenire.llm.keys import SecretHeaders, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANTHROPIC", "OPENAI", "Address", "Proxy", "find_proxy", "read_address"]

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com/v1"
AZURE_VERSION = "2024-10-21"
AZURE_MODELS_VERSION = "2024-05-01-preview"

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_WITHOUT_DEPLOYMENTS = ("/v1", "/models")
_PATH = len("https://")  # where to look from for the path of a base, so that no host is taken for one
_USUAL_PORTS = {"http": 80, "https": 443}
_ENDINGS = ("/chat/completions", "/embeddings", "/messages", "/completions")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a provider is.

    Attributes:
        base: Scheme, host, port and path, without a slash at the end.
        host: Its name, in lower case, without a port.
        azure: Whether it is Azure's, which wants its key in a header of its own.
        version: Azure's ``api-version``, or ``None`` where there is none.
    """

    base: str
    host: str
    azure: bool = False
    version: str | None = None

    def of(self, path: str, model: str) -> str:
        """Return the whole address of a call.

        Args:
            path: Such as ``/chat/completions``; it may have a query.
            model: Of the call; Azure has a deployment for each. Empty for what is of no model.
        """
        if self.version is None:
            return self.base + path
        path = f"{path}{'&' if '?' in path else '?'}{urlencode({'api-version': self.version})}"
        if path.startswith("/messages") or self.base.endswith(_WITHOUT_DEPLOYMENTS, _PATH):
            return self.base + path
        deployed = self.base.find("/openai/deployments/", _PATH)
        if not model:
            return f"{self.base[:deployed] if deployed >= 0 else self.base}/openai{path}"
        deployment = "" if deployed >= 0 else f"/openai/deployments/{quote(model, safe='')}"
        return f"{self.base}{deployment}{path}"


def read_address(base_url: str, api_version: str | None = None) -> Address:
    """Read what a user wrote as ``base_url``.

    Args:
        base_url: Of the API, or of one of its calls.
        api_version: Of Azure's API.

    Raises:
        ConfigError: If it is no address of a web server, or holds a password.
    """
    if not isinstance(base_url, str):
        raise _impossible(f"a {type(base_url).__name__}", "it must be a text")
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname, parts.port
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:  # which may quote what stands before the @
        raise _impossible(_shown(base_url), "its host or its port cannot be read") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _impossible(_shown(base_url), "it needs http:// or https://, and a host")
    if parts.username is not None or parts.password is not None:
        # Not shown: what stands before the @ may be the key.
        raise ConfigError(
            f"base_url must not hold a name or a password (host {host})", key="base_url", hint="use api_key"
        )
    unknown = [name for name in query if name != "api-version"]
    if unknown or parts.fragment:
        # Not shown: some providers take their key there, and what has no value may be one itself.
        named = f"the parameter {unknown[0][:40]!r}" if unknown and query[unknown[0]] else "a parameter"
        extra = named if unknown else "what follows a #"
        message = f"base_url must not hold {extra} (host {host}): it is the address of the API alone"
        raise ConfigError(message, key="base_url", hint="a key goes into api_key_env, anything else into headers")
    path = parts.path.rstrip("/")
    for ending in _ENDINGS:
        path = path.removesuffix(ending)
    azure = host.endswith(_AZURE) or api_version is not None
    version = api_version or query.get("api-version")
    if (host == "api.anthropic.com" and not path) or (host.endswith(_AZURE) and path.endswith("/anthropic")):
        path += "/v1"
    if azure and version is None and not path.endswith("/v1"):
        version = AZURE_MODELS_VERSION if path.endswith("/models") else AZURE_VERSION
    if azure:
        path = path.removesuffix("/openai")  # it comes again with the deployment
    return Address(f"{parts.scheme}://{parts.netloc}{path}", host.lower(), azure, version if azure else None)


def _impossible(got: str, why: str) -> ConfigError:
    return ConfigError(f"base_url must be the address of an API such as {OPENAI}, got {got}: {why}", key="base_url")


def _shown(base_url: str) -> str:
    """Return an address without what may be a key or a password in it: all before an @, and from a ? or # on."""
    place = re.split("[?#]", base_url, maxsplit=1)[0]
    if "@" in base_url[len(place) :]:  # of a password with a ? in it, or of a parameter: nobody can tell
        return "a text with an @ behind a ? or #"
    host = place.rpartition("@")[2]
    return repr(f"{'' if host == place else '…@'}{host}{'' if place == base_url else '…'}")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for web traffic.

    Attributes:
        url: Without name and password.
        login: Name and password, or ``None``.
    """

    url: str
    login: tuple[str, str] | None = None

    @property
    def headers(self) -> SecretHeaders | None:
        """What tells the proxy who calls, or ``None`` if it does not ask."""
        if self.login is None:
            return None
        encoded = b64encode(":".join(self.login).encode()).decode()
        return SecretHeaders({"Proxy-Authorization": f"Basic {encoded}"})

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def find_proxy(address: Address, proxies: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy that the environment wants for an address, or ``None``.

    It is looked up once and not for each call, which would cost more than the call. This
    machine itself is never reached through a proxy.

    Args:
        address: Of the provider.
        proxies: By scheme; default: ``HTTPS_PROXY`` and the like, ``NO_PROXY`` heeded.

    Raises:
        ConfigError: If the proxy's address is impossible.
    """
    if is_loopback(address.host):
        return None
    if proxies is None:
        proxies = {} if _is_named_in_no_proxy(address) else getproxies()
    scheme = address.base.partition(":")[0]
    found = proxies.get(scheme) or proxies.get("all")
    if not found:
        return None
    named, hint = f"{scheme}_proxy", f"change {scheme.upper()}_PROXY, or name the host in NO_PROXY"
    try:
        parts = urlsplit(found if "://" in found else f"http://{found}")
        host, _ = parts.hostname, parts.port
    except ValueError:  # it may quote a password
        message = f"a proxy must be an address such as http://proxy:3128, got one for {scheme} that cannot be read"
        raise ConfigError(message, key=named, hint=hint) from None
    if parts.scheme not in ("http", "https") or not host:
        message = f"a proxy must be reached by http or https, got one for {scheme} with {parts.scheme}://"
        raise ConfigError(message, key=named, hint=hint)
    place = parts.netloc.rpartition("@")[2]
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(f"{parts.scheme}://{place}", login)


def _is_named_in_no_proxy(address: Address) -> bool:
    """Return whether the environment wants no proxy for an address: for its host, or for its port of that alone."""
    if proxy_bypass(address.host):
        return True
    parts = urlsplit(address.base)
    host = f"[{address.host}]" if ":" in address.host else address.host
    return bool(proxy_bypass(f"{host}:{parts.port or _USUAL_PORTS[parts.scheme]}"))
