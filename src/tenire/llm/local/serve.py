"""The server of a local model, as it runs in a worker process of the engine.

llama.cpp answers HTTP on its own threads, at an address of this machine that only who
knows the key can use. The worker is nothing but its home: it lives as long as the worker
does, which ends with the engine, however that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Serving", "serve"]

_servers: dict[Serving, Any] = {}


@dataclass(frozen=True, slots=True)
class Serving:
    """What to serve, and how.

    Attributes:
        weights: The file of weights.
        threads: Threads to compute with.
        slots: Replies at once.
        context: Tokens of prompt and reply together, for each of them.
        key: What a call must show.
    """

    weights: str
    threads: int
    slots: int
    context: int
    key: str


def serve(serving: Serving) -> str:
    """Load the model if this process has not, and return the address of its server."""
    server = _servers.get(serving)
    if server is None:
        server = _servers[serving] = _start(serving)
    return str(server.listening_address)


def _start(serving: Serving) -> Any:
    import xllamacpp  # in the worker only: it brings a hundred megabytes

    parameters = xllamacpp.CommonParams()
    parameters.model.path = serving.weights
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [serving.key]
    parameters.n_parallel = serving.slots
    parameters.n_ctx = serving.context * serving.slots
    parameters.n_gpu_layers = 0
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = serving.threads
        # They would spin while they wait for one another, and beside other work they always wait.
        threads.poll = 0
    parameters.ui = False
    parameters.endpoint_slots = False  # it shows what others ask
    parameters.verbosity = 0
    return xllamacpp.Server(parameters)
