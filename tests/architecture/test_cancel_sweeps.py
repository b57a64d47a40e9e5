"""Every public coroutine is cancelled at each of its awaits somewhere; who adds one is asked where.

Public is what the face of a package lists, and what an example of the docs imports. Found by
looking, so that a new room, class or function is asked about too.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "src/tenire"
DOCS = TESTS.parent / "docs"
AWAITED = ("__aenter__", "__anext__", "__await__", "__call__")
AWAITABLE = re.compile(
    r"(typing\.|collections\.abc\.|contextlib\.)?"
    r"(AsyncIterator|AsyncGenerator|AsyncIterable|Awaitable|Coroutine|AbstractAsyncContextManager)\b"
    r"|asyncio\.(Future|Task)\b"
)
"""What a plain function says that it returns, if whoever gets it waits for it."""


def _modules() -> list[str]:
    packages = {".".join(file.parent.relative_to(SOURCES.parent).parts) for file in SOURCES.rglob("__init__.py")}
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    return sorted(packages | set(re.findall(r"^ *from (tenire[\w.]*) import ", pages, re.MULTILINE)))


ROOMS = _modules()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, MissingExtraError):
        if not name.startswith("tenire.gui."):
            raise
        return SimpleNamespace(__name__=name, __all__=[])  # this machine has not what windows need of the system


C, R, REAL = "concurrency/", "resilience/", "integration/test_cancel_sweeps.py"
COMPONENTS = C + "test_cancelling_components.py"
CANCELLING, GUARDED = C + "test_cancelling.py", R + "test_cancelling.py"
STARTUP = (C + "test_startup.py", "test_whatever_await_is_cancelled_what_became_ready_is_stopped_in_reverse")
BATCHER = (R + "test_batcher.py", "test_a_caller_that_is_cancelled_at_any_await_leaves_nothing_behind")
BLOBS = (C + "test_blobs.py", "test_cancelled_anywhere_nothing_is_lost")
MODELS = "llm/test_cancelling.py"
HOMES = (MODELS, "test_with_a_home_nothing_that_was_finished_is_lost")
PUT_OFF = (MODELS, "test_a_call_that_is_put_off_fails_and_succeeds")
LOCAL = ("llm/local/test_cancelling.py", "test_a_call_of_a_model_in_a_worker")
HTTP = ("integration/test_chat_client.py", "test_a_connection_is_closed_wherever_its_call_is_cancelled")
CLIENT = (C + "test_channel_client.py", "test_a_cancelled_call_leaves_nothing")
CHANNEL = (REAL, "test_a_channel_and_who_calls_it")
LOOPS = (COMPONENTS, "test_a_loop_manager_closes_all_its_loops_and_its_watchdog")
PART = (COMPONENTS, "test_a_component_of_an_engine_lasts_until_it_is_cancelled")
STREAMS = (C + "test_signals_streams.py", "test_cancelling_who_waits_loses_no_event_and_leaves_nothing")
SUPERVISOR = (C + "test_supervisor.py", "test_whatever_await_is_cancelled_nothing_is_left")
LOOKING = ("browser/test_cancelling.py", "test_an_answer_without_a_browser")
PAGES = ("browser/test_cancelling.py", "test_pages_of_a_browser")
DASHBOARD = ("dashboard/test_cancelling.py", "test_a_server_that_starts_serves_and_ends")
SIDE_LOOP = (REAL, "test_a_loop_in_a_thread")

FEED = "app/test_feed_cancelling.py"

SWEPT = {
    **{f"Actions.{name}": (FEED, "act") for name in ("pause", "resume", "cancel", "end", "priority", "weight", "why")},
    "Actions.retry": (FEED, "retry"),
    "Actions.search": (FEED, "search"),
    "BatchInitializationGroup.__aenter__": STARTUP,
    "Batcher.__call__": BATCHER,
    "Batcher.aclose": BATCHER,
    "Blob.read": BLOBS,
    "Books.__aenter__": HOMES,
    "Books.spending": HOMES,
    "BrowserPool.__aenter__": ("browser/test_cancelling.py", "sweep"),
    "BrowserPool.download": PAGES,
    "BrowserPool.fetch": PAGES,
    "BrowserPool.forget": LOOKING,
    "BrowserPool.look": LOOKING,
    "BrowserPool.page": PAGES,
    "BrowserPool.screenshot": PAGES,
    "Bulkhead.acquire": (GUARDED, "test_waiting_for_a_slot_behind_others"),
    "ChannelClient.__aenter__": CLIENT,
    "ChannelClient.call": CLIENT,
    "ChatClient.__aenter__": HOMES,
    "ChatClient.cancel_batches": HOMES,
    "ChatClient.batch": ("llm/batches/test_cancelling.py", "test_replies_of_a_batch"),
    "ChatClient.complete": PUT_OFF,
    "ChatClient.embed": (MODELS, "test_vectors_of_texts"),
    "ChatClient.estimate": PUT_OFF,
    "ChatClient.map": (MODELS, "test_many_prompts"),
    "ChatClient.stream": (MODELS, "test_a_stream"),
    "ConcurrencyManager.__aenter__": (C + "test_parts.py", "test_cancelling_a_start_or_a_stop_leaves_nothing"),
    "ConcurrencyManager.shutdown": (CANCELLING, "shut_down"),
    "Crawl.run": ("browser/test_cancelling.py", "test_a_crawl"),
    "Dashboard.__aenter__": DASHBOARD,
    "Dashboard.wait_ended": DASHBOARD,
    "DataManager.credit": (CANCELLING, "hold_credit"),
    "DataManager.ledger": (CANCELLING, "use_the_home"),
    "DataManager.put": BLOBS,
    "EngineCache.get": (GUARDED, "test_a_call_whose_result_is_kept_by_an_engine"),
    "EngineCache.put": (GUARDED, "test_a_call_whose_result_is_kept_by_an_engine"),
    "EventLoopManager.__aenter__": LOOPS,
    "EventLoopManager.acall": (CANCELLING, "call_across"),
    "Compactor.run": PART,
    "FakeModelServer.__aenter__": ("testing/test_cancel_sweep.py", "test_a_server_for_tests"),
    "Faults.reach": ("testing/test_cancel_sweep.py", "test_a_fault_that_takes_its_time"),
    "Feed.ended": (FEED, "wait_for_its_end"),
    "Feed.__aenter__": (FEED, "test_a_feed_without_an_engine"),
    "Feed.newer": (FEED, "look"),
    "Guard.call": (GUARDED, "test_one_call_that_fails_waits_behind_its_circuit_and_succeeds"),
    "Handle.__await__": (CANCELLING, "await_a_task"),
    "HttpTransport.close": HTTP,
    "HttpTransport.complete": HTTP,
    "HttpTransport.embed": HTTP,
    "HttpTransport.stream": HTTP,
    "Life.wait_told_to_end": (COMPONENTS, "test_a_component_that_waits_to_be_told_to_end"),
    "LocalTransport.close": LOCAL,
    "LocalTransport.complete": LOCAL,
    "LocalTransport.embed": LOCAL,
    "LocalTransport.ready": LOCAL,
    "LocalTransport.stream": LOCAL,
    "LoopChannel.__aenter__": CHANNEL,
    "LoopOwner.loop_ends": (COMPONENTS, "test_an_engine_that_is_closed_because_its_loop_ends"),
    "LoopThread.__aenter__": SIDE_LOOP,
    "LoopThread.acall": SIDE_LOOP,
    "MemoryCache.get": (GUARDED, "test_the_memory_cache_never_waits"),
    "MemoryCache.put": (GUARDED, "test_the_memory_cache_never_waits"),
    "ModelPool.map": ("ml/test_cancelling.py", "ask_for_many"),
    "ModelPool.predict": ("ml/test_cancelling.py", "predict"),
    "ModelPool.warm_up": ("ml/test_cancelling.py", "warm_up"),
    "Orchestrator.permit": (CANCELLING, "hold_permits"),
    "Orchestrator.run": PART,
    "Orchestrator.wait_idle": (CANCELLING, "wait_idle"),
    "QuotaSharing.aclose": (C + "quotas/test_sharing.py", "test_wherever_its_end_is_cancelled_all_is_given_back"),
    "QuotaPermit.__aenter__": (C + "quotas/test_quota.py", "test_nothing_is_lost_wherever_a_call_is_cancelled"),
    "Signals.aemit": STREAMS,
    "Spawned.__await__": SIDE_LOOP,
    "Store.asearch": (REAL, "test_a_search"),
    "Stream.__anext__": STREAMS,
    "Supervisor.aclose": SUPERVISOR,
    "Supervisor.add": SUPERVISOR,
    "Supervisor.remove": SUPERVISOR,
    "Supervisor.run": (COMPONENTS, "test_a_supervisor_that_is_a_component_of_another_one"),
    "Supervisor.wait_ended": (COMPONENTS, "test_who_waits_for_the_end_of_a_supervisor_ends_nothing"),
    "TaskGroup.__aenter__": (C + "test_task_groups.py", "test_cancelled_at_any_moment_it_leaves_nothing"),
    "ThreadPoolManager.run": PART,
    "ThreadPoolManager.warm_up": (COMPONENTS, "test_worker_processes_that_are_warmed_up"),
    "UniversalTimer.wait_until": (C + "test_timer_waits.py", "test_cancelled_at_any_moment_it_leaves_nothing"),
    "arun": (REAL, "test_a_run_of_pipelines"),
    "emitted": ("gui/test_slots.py", "test_a_signal_that_is_awaited_on_any_loop"),
    "beside_engine": ("dashboard/test_cancelling.py", "test_the_page_of_an_engine"),
}
"""Coroutine, and the function of a swept scenario that waits for it."""

THROUGH = {
    "Actions.aclose": "app/feed/feed.py: ending.push_async_callback(self.actions.aclose)",
    "BatchInitializationGroup.start": "BatchInitializationGroup.__aenter__",
    "BatchInitializationGroup.stop": "BatchInitializationGroup.__aexit__",
    "Batcher.__aenter__": "",
    "Books.aclose": "Books.__aexit__",
    "BrowserPool.aclose": "BrowserPool.__aexit__",
    "ChannelClient.aclose": "ChannelClient.__aexit__",
    "Compactor.aclose": "concurrency/parts.py: await self.compactor.aclose(",
    "DataManager.aclose": "concurrency/parts.py: await self.data_manager.aclose(",
    "EventLoopManager.aclose": "EventLoopManager.__aexit__",
    "Lookout.wait": "app/feed/feed.py: self._lookout = lookout or Lookout(self._home.path).wait",
    "ModelPool.__aenter__": "",
    "Quota.aclose": "concurrency/quotas/quota.py: await self._sharing.aclose()",
    "HttpTransport.exchange": "llm/batches/openai.py: async with self._transport.exchange(",
    "Handle.wait_unowned": "concurrency/permits.py: await handle.wait_unowned()",
    "LoopChannel.aclose": "LoopChannel.__aexit__",
    "LoopChannel.start": "LoopChannel.__aenter__",
    "LoopOwner.acall": "EventLoopManager.acall",
    "LoopOwner.aclose": "concurrency/loops/manager.py: await self.main.aclose()",
    "LoopThread.aclose": "LoopThread.__aexit__",
    "LoopThread.loop_ends": "LoopOwner.loop_ends",
    "SdkTransport.close": "",
    "SdkTransport.complete": "llm/endpoint.py: passage.send(partial(self._transport.complete",
    "SdkTransport.embed": "llm/embeddings.py: passage.send(partial(self._transport.embed",
    "SdkTransport.stream": "llm/streams.py: aclosing(transport.stream(",
    "Stream.__aenter__": "",
    "Supervisor.start": "Supervisor.run",
    "ThreadPoolManager.aclose": "concurrency/parts.py: await self.thread_pool.aclose(",
}
"""What is swept by way of something else that waits for it; nothing where it never waits."""

APART = {
    **{
        f"SimLoop.{name}": "a loop's own way of starting things; every sweep in virtual time stands on it"
        for name in ("create_task", "run_in_executor", "shutdown_default_executor")
    },
}
"""What is not swept, and why."""


def _is_awaited(name: str, value: object) -> bool:
    function = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", getattr(value, "fget", value))
    if not str(getattr(function, "__module__", "")).startswith("tenire."):
        return False  # asyncio's own, that a loop of ours inherits
    if name.startswith("_"):
        return name in AWAITED and (name != "__call__" or inspect.iscoroutinefunction(function))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    returned = str(getattr(function, "__annotations__", {}).get("return", ""))
    return AWAITABLE.match(returned) is not None or returned in _awaitable_classes()


@functools.cache
def _awaitable_classes() -> frozenset[str]:
    """Return the names of classes that are waited for and that no face lists: their makers stand for them."""
    found, listed = set(), {name for room in ROOMS for name in _module(room).__all__}
    for file in SOURCES.rglob("*.py"):
        if not file.stem.startswith("__"):
            module = _module(".".join(file.relative_to(SOURCES.parent).with_suffix("").parts))
            found |= {
                name for name, value in vars(module).items()
                if inspect.isclass(value) and value.__module__ == module.__name__ and name not in listed
                and any(hasattr(value, special) for special in AWAITED[:3])
            }  # fmt: skip
    return frozenset(found)


def coroutines() -> dict[str, Any]:
    """Return the public functions and methods that are coroutines, by ``name`` or ``Class.name``."""
    found: dict[str, Any] = {}
    for room in ROOMS:
        module = _module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                members = ((member, inspect.getattr_static(value, member)) for member in dir(value))
                found |= {f"{value.__name__}.{name}": member for name, member in members if _is_awaited(name, member)}
            elif inspect.isfunction(value) and _is_awaited(name, value):
                found[value.__name__] = value
    return found


def source_of(path: str, function: str) -> str:
    """Return the text of a function of a file of tests."""
    text = (TESTS / path).read_text(encoding="utf-8")
    (node,) = (
        node for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    )  # fmt: skip
    return ast.get_source_segment(text, node) or ""


def waits_for(name: str) -> str:
    """Return a piece of the source of a function that waits for a coroutine."""
    member = name.rpartition(".")[2]
    return {
        "__aenter__": "async with ", "__anext__": "anext(", "__await__": "await ", "__call__": "await batcher(",
        "acquire": "admission=",  # a guard asks for it
        "ended": ".ended", "emitted": "await emitted(", "permit": "async with permit(",
    }.get(member, f".{member}(")  # fmt: skip


def test_every_public_coroutine_is_swept_somewhere() -> None:
    without_windows: set[str] = set() if _module("tenire.gui.qt").__all__ else {"emitted"}
    assert coroutines().keys() == (SWEPT.keys() | THROUGH.keys() | APART.keys()) - without_windows


def test_a_coroutine_that_is_new_in_any_room_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits() -> None:
        pass

    def iterates() -> AsyncIterator[int]:
        raise NotImplementedError

    for function in (waits, iterates):
        function.__module__ = "tenire.vectors.new"
    for room, name, owner in (
        ("tenire.vectors", "search_slowly", waits),
        ("tenire.documents", "Reader", type("Reader", (), {"pages": iterates, "__module__": "tenire.documents.new"})),
        ("tenire.llm.batches", "Watcher", type("Watcher", (), {"__aenter__": waits})),
    ):
        known = coroutines().keys()
        monkeypatch.setattr(importlib.import_module(room), name, owner, raising=False)
        monkeypatch.setattr(importlib.import_module(room), "__all__", [*importlib.import_module(room).__all__, name])
        assert len(coroutines().keys() - known) == 1, name


@pytest.mark.parametrize("name", SWEPT)
def test_there_it_is_swept(name: str) -> None:
    path, function = SWEPT[name]
    assert "cancel_sweep(" in (TESTS / path).read_text(encoding="utf-8")
    assert waits_for(name) in source_of(path, function)


@pytest.mark.parametrize("name", THROUGH)
def test_what_is_swept_by_way_of_something_else_is_waited_for_there(name: str) -> None:
    file, _, code = THROUGH[name].partition(": ")
    if code:
        assert code in (SOURCES / file).read_text(encoding="utf-8")
    elif not file:
        assert "await" not in inspect.getsource(coroutines()[name])
    else:
        owner, _, caller = file.partition(".")
        classes = [getattr(_module(room), owner, None) for room in ROOMS]
        (waiting,) = {getattr(each, caller) for each in classes if each is not None}
        inherited = coroutines()[name] is waiting
        assert inherited or f".{name.rpartition('.')[2]}(" in inspect.getsource(waiting)
        assert file in SWEPT or file.endswith("__aexit__")
