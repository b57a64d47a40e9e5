"""Stages on a cluster of Ray: one that the engine starts on this machine, or one that is there.

Workers are actors. Tasks without a worker's name share pools of equals, one for each size
of task, and hold in Ray what they hold here; workers with a name hold nothing, as on one
machine, and there is one for each node. Ray only runs what the scheduler has started.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psutil

from tenire.concurrency.pools.engine import Capacity
from tenire.engines import ray_watch
from tenire.engines.ray_pool import Errand, RayPool
from tenire.engines.ray_worker import RayWorker, machine, setup_here
from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from tenire.concurrency.pools.engine import Job, Outcome
    from tenire.engines.ray_pool import Worker

__all__ = ["RayEngine", "require_ray"]

_OBJECTS = 512 << 20
"""Bytes of memory for what is on its way to and from workers of a cluster of our own; Ray writes the rest to disk."""

_QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing here tells anybody anything
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # or a driver started by `uv run` would be packed and sent
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_PRIVATE: Mapping[str, str] = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # whatever the system: no other machine, so its ports are local ones
}

_FOLDER = "tenire-ray-"
_SHOWN = 300
_REACH_S = 5.0
_END_S = 10.0
"""Seconds that a cluster of our own gets to end."""

_log = logging.getLogger("tenire.engines")


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    if find_spec("ray") is None:
        raise MissingExtraError('engine = "ray"', extra="ray", missing="ray")


class RayEngine:
    """Runs jobs on Ray; see ``engine.Engine``.

    Args:
        address: Of a cluster that is there: ``HOST:PORT``, or ``auto`` for the one that
            runs on this machine. ``None``: the engine starts one here, and ends it.
        cpu: CPU slots; for a cluster of our own required, otherwise the most that is used of it.

    Raises:
        MissingExtraError: If Ray is not installed.
    """

    def __init__(self, address: str | None, *, cpu: float | None) -> None:
        require_ray()
        self._address = address
        self._cpu = cpu
        self._setup = setup_here(background=address is None)
        self._machine = machine()
        self._ray: Any = None
        self._ours = False
        self._watch_process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._live, name="tenire-ray", daemon=True)
        self._there = threading.Event()
        self._orders: SimpleQueue[bool] = SimpleQueue()  # whether to look at the nodes, or to leave
        self._looks = False
        self._refusal: ConfigError | None = None
        self._capacity = Capacity(0)
        self._largest = {"CPU": 0.0, "memory": 0.0}
        self._pools: dict[tuple[str | None, float, int], RayPool] = {}
        self._here: dict[str, int] = {}
        self._made = 0
        self._post: Callable[..., None] = lambda fn, *args: fn(*args)

    def show(self, witness: tuple[str, str]) -> None:
        """Have every worker from now on look whether it sees a file, and in it these words."""
        self._setup = replace(self._setup, witness=witness)

    # -- life; all of it blocks ---------------------------------------------

    def connect(self) -> None:
        """Start a cluster, or find the one that is there.

        Raises:
            ConfigError: If there is none at the address, or none can be started.
        """
        self._thread.start()
        self._there.wait()
        if self._refusal is not None:
            raise self._refusal

    def disconnect(self) -> None:
        """Let go of the cluster, also while it is being connected; one of our own ends."""
        self._orders.put(False)
        if self._thread.is_alive():
            # Whoever leaves while Ray still starts does not wait for that: the thread ends what it has begun.
            self._thread.join(_END_S if self._there.is_set() else 0)

    def _live(self) -> None:
        """Be connected; on a thread that lives as long, since Ray's processes end with the thread that started them."""
        ray = None
        try:
            ray = self._connected()
        except BaseException as error:  # noqa: BLE001 - Ray raises many kinds, and connect() waits for it
            self._refusal = self._unreachable(error)
        self._there.set()
        if ray is not None:
            while self._orders.get():
                with contextlib.suppress(Exception):  # what there was stands until somebody tells otherwise
                    self._look()
                self._looks = False
            if self._ours:
                ray.shutdown()
        if self._watch_process is not None:
            ray_watch.end(self._watch_process)

    def _connected(self) -> Any:
        if self._address not in (None, "auto"):
            _reach(str(self._address))
        _set_environment(ours=self._address is None)
        first = "ray" not in sys.modules
        ray = importlib.import_module("ray")
        if first:
            logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of what is meant
        if not ray.is_initialized():
            options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}
            if self._address is None:
                folder = _own_folder()
                self._watch_process = ray_watch.begin(folder)
                options |= _own_cluster(self._cpu or 1, folder)
                os.environ[ray_watch.VARIABLE] = folder
            else:
                options["address"] = self._address
            self._ours = True
            try:
                ray.init(**options)
            except BaseException:
                ray.shutdown()
                raise
            finally:
                os.environ.pop(ray_watch.VARIABLE, None)  # what else this process starts is not of the cluster
        _divert(ray)
        self._ray = ray
        self._look()
        return ray

    def _unreachable(self, error: BaseException) -> ConfigError:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if self._address is None:
            return ConfigError(f"Ray cannot be started on this machine: {reason}", key="tenire.engine")
        message = f"there is no Ray cluster at {self._address}: {reason}"
        hint = "start one with `ray start --head`, or leave the address out: then one is started here for the run"
        return ConfigError(message, key="tenire.engine", hint=hint)

    def _look(self) -> None:
        """Take in which nodes there are. While none computes, what there was stands: then work waits for one."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        there = [node for node in nodes if node.get("CPU")]
        if not there and self._capacity.cpu:
            return
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in self._largest}
        cpu = sum(node["CPU"] for node in there)
        capacity = Capacity(min(cpu, self._cpu or cpu), max(1, len(there)))
        if (capacity, largest) != (self._capacity, self._largest):
            self._capacity, self._largest = capacity, largest
            _log.info("Ray has %d node(s) with %g CPU slots", len(there), cpu)
            self._post(self._adapt)

    # -- the protocol -------------------------------------------------------

    def capacity(self) -> Capacity:
        """See ``engine.Engine``; as it was found at the last look."""
        return self._capacity

    def look(self) -> None:
        """Look soon which nodes the cluster has now; returns at once. One of our own stays as it is."""
        if self._address is not None and not self._looks:
            self._looks = True
            self._orders.put(True)

    def begin(self, post: Callable[..., None]) -> None:
        """See ``engine.Engine``."""
        self._post = post

    def run(self, job: Job, ended: Callable[[Outcome], object]) -> Errand:
        """See ``engine.Engine``."""
        pool = self._pool_for(job)
        errand = Errand(job, ended, pool)
        pool.put(errand)
        return errand

    def processes(self) -> Mapping[str, int]:
        """See ``engine.Engine``."""
        return dict(self._here)

    def close(self) -> None:
        """See ``engine.Engine``."""
        for pool in self._pools.values():
            pool.close()

    # -- actors -------------------------------------------------------------

    def _pool_for(self, job: Job) -> RayPool:
        # What no node has would be waited for in vain: the largest must do.
        largest = self._largest
        cpu = min(job.cpu, largest["CPU"])
        memory = int(min(job.memory, largest["memory"]))
        key = (job.worker, cpu, memory)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._new_pool(job.worker, cpu, memory)
        return pool

    def _adapt(self) -> None:
        """Have the pools do with the nodes that there are now."""
        largest, workers = self._largest, self._capacity.workers
        for (name, cpu, memory), pool in tuple(self._pools.items()):
            if name is not None:
                pool.resize(workers)
            if cpu > largest["CPU"] or memory > largest["memory"]:
                for errand in pool.hand_over():
                    self._pool_for(errand.job).put(errand)

    def _new_pool(self, name: str | None, cpu: float, memory: int) -> RayPool:
        options: dict[str, Any] = {
            "num_cpus": cpu, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD",
        }  # fmt: skip
        if memory:
            options["memory"] = memory
        actors = self._ray.remote(RayWorker).options(**options)
        return RayPool(
            start=partial(self._start, actors, max(1, int(cpu))),
            kill=self._ray.kill,
            watch=self._watch,
            most=None if name is None else self._capacity.workers,
            changed=partial(self._changed, name or "worker"),
            make_room=self._make_room,
            lost=self._leave,
            spare=self._yield_room if name is None else _keep,
        )

    def _start(self, actors: Any, threads: int) -> tuple[Any, Any]:
        actor = actors.remote()
        return actor, actor.begin.remote(replace(self._setup, threads=threads))

    def _make_room(self, pool: RayPool) -> None:
        """End what has nothing to do and holds what another size of task may need."""
        for (name, _, _), other in self._pools.items():
            if other is not pool and name is None:
                other.retire()

    def _yield_room(self, pool: RayPool) -> None:
        """End what has nothing to do and holds what another pool waits for; Ray would have that wait for ever."""
        for (_, cpu, memory), other in self._pools.items():
            if other is not pool and (cpu or memory) and other.lacks_workers:
                pool.retire()
                return

    def _leave(self, node: str) -> None:
        for pool in self._pools.values():
            pool.leave(node)

    def _watch(self, reference: Any, call: Callable[[Any, BaseException | None], object]) -> None:
        def done(future: Any) -> None:
            error = future.exception()
            self._post(call, None if error is not None else future.result(), error)

        reference.future().add_done_callback(done)

    def _changed(self, kind: str, worker: Worker, there: bool) -> None:
        found = worker.found
        if found is None or found.machine != self._machine:
            return
        if there:
            self._made += 1
            self._here = {**self._here, f"ray-{kind}-{self._made}": found.pid}
        else:
            self._here = {name: pid for name, pid in self._here.items() if pid != found.pid}


def _keep(pool: RayPool) -> None:
    """Leave workers with a name as they are: they hold nothing, and keep something warm."""


def _reach(address: str) -> None:
    """See that somebody listens at an address: Ray would try for minutes.

    Raises:
        OSError: If nobody does.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), _REACH_S).close()


def _own_folder() -> str:
    """Make a folder for Ray's files, which only we can read; what killed engines have left is removed."""
    # Ray's sockets are in there, whose paths must be short: not where temporary files usually are.
    base = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    for old in glob.glob(os.path.join(base, f"{_FOLDER}*")):
        pid = old.rpartition(_FOLDER)[2].partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            ray_watch.end_all(old)
    return tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=base)


def _divert(ray: Any) -> None:
    """Have what Ray tells of its workers go to the log; it would print it among the results."""
    worker = ray._private.worker  # noqa: SLF001 - there is no other way; where it is missing, Ray prints
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, *_, **__: _log.info("%s", " ".join(data.get("lines", ()))[:_SHOWN])


def _set_environment(*, ours: bool) -> None:
    """Tell Ray what it reads once, when it is imported; what the user has set stays."""
    wanted = dict(_QUIET)
    # Who may speak to a cluster may run anything on it. A program that has imported Ray itself has decided already.
    if ours and "ray" not in sys.modules:
        wanted |= _PRIVATE
        if not any(name.startswith("RAY_AUTH_") for name in os.environ):
            wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ.update({name: value for name, value in wanted.items() if name not in os.environ})


def _own_cluster(cpu: float, folder: str) -> dict[str, Any]:
    """Return how to start a cluster of our own, whose files are in a folder."""
    return {
        "address": "local",
        "num_cpus": max(1, int(cpu)),
        "include_dashboard": False,
        "object_store_memory": _OBJECTS,
        "_temp_dir": folder,
    }
