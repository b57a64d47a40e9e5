"""What other processes may tell and ask a running engine.

1. A pipeline that has ended cannot be paused, resumed, cancelled or moved any more;
   asking for what is so already changes nothing.
2. A cancelled pipeline keeps what it has committed. The others go on; those that come
   after it do not start, as if it had failed.
3. A paused pipeline starts nothing; what runs of it comes to its end. A pause ends
   with its pipeline, however that ends.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from tenire.app.feed.happened import Happenings
from tenire.app.feed.pictures import Pictures, Told, Watch
from tenire.app.orders import NewPriority, NewWeight
from tenire.app.publish import Besides, explained, look
from tenire.app.published import as_text
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import Child
from tenire.concurrency.channel import LoopChannel
from tenire.concurrency.unbroken import unbroken
from tenire.core.tasks import Priority
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from tenire.app.published import Published
    from tenire.clock import Clock
    from tenire.concurrency import Life
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.progress import PipelineProgress
    from tenire.storage.home import Home

__all__ = ["EngineControl", "controlled"]

_ENDED = ("done", "failed", "cancelled")

_SILENCE_S = 20.0

_TRY_AGAIN_S = 5.0

_log = logging.getLogger("tenire.control")


class EngineControl:
    """The operations; all on the engine's loop.

    Args:
        manager: The engine.
        progress: Its pipelines.
        clock: For the time of what is told.
        besides: What else is told.

    Attributes:
        happenings: What happened in it.
        on_cancel: Is told the name of a pipeline before it is cancelled, or ``None``.
        on_retry: Has entries of the quarantine tried again by the next run, and returns how
            many there were, or ``None``.
    """

    def __init__(
        self,
        manager: ConcurrencyManager,
        progress: Mapping[str, PipelineProgress],
        *,
        clock: Clock,
        besides: Besides | None = None,
    ) -> None:
        self.happenings = Happenings(clock)
        self._besides = besides or Besides()
        self._pictures = Pictures(self._look, self.happenings, timer=manager.timer, clock=clock)
        self._besides.saw = self._saw
        self.happenings.on_new = self._pictures.stir
        self._manager = manager
        self._progress = progress
        self._clock = clock
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self.on_cancel: Callable[[str], Awaitable[object]] | None = None
        self.on_retry: Callable[[list[str] | None], Awaitable[int]] | None = None

    def adopt(self, name: str, run: asyncio.Task[None]) -> None:
        """Take over the run of a pipeline; cancel it if that was asked for before."""
        self._runs[name] = run
        run.add_done_callback(lambda _: self._pictures.stir())
        if name in self._cancelled:
            run.cancel()

    def status(self) -> str:
        """Return what ``look`` sees, as text: names may hold bytes that MessagePack does not carry."""
        return as_text(self._look())

    async def watch(self, watch: Watch) -> Told:
        """Return the next picture and the next events; see ``feed.pictures``."""
        return await self._pictures.next(watch)

    def _look(self) -> Published:
        return look(self._manager, self._progress, at=self._clock.wall(), besides=self._besides)

    def _saw(self, published: Published) -> None:
        self.happenings.saw(published)
        self._pictures.saw(published)

    def why(self, task: str) -> str:
        """Return one task and its pipeline, as text.

        Raises:
            ConfigError: If it is not a task that waits or runs, or ended lately.
        """
        told = explained(self._manager, task)
        if told is None:
            message = f"the engine knows no task {task!r}: it ended long ago, or never was"
            raise ConfigError(message, key="TASK", hint="tenire status lists the tasks that can be asked about")
        return as_text(told)

    def pause(self, pipeline: str) -> dict[str, Any]:
        """Start nothing of a pipeline until ``resume``."""
        self._living(pipeline).paused = True
        reason = f"it was paused; tenire resume {pipeline} lets it go on"
        self._manager.orchestrator.suspend(pipeline, reason, permits=True)
        self._pictures.stir()
        return {"pipeline": pipeline, "state": "paused"}

    def resume(self, pipeline: str) -> dict[str, Any]:
        """Go on with a pipeline that was paused."""
        progress = self._living(pipeline)
        progress.paused = False
        self._manager.orchestrator.suspend(pipeline, None)
        self._pictures.stir()
        return {"pipeline": pipeline, "state": progress.state}

    def priority(self, new: NewPriority) -> dict[str, Any]:
        """Move a pipeline to another level."""
        self._living(new.pipeline)
        level = Priority.parse(new.level)
        self._manager.orchestrator.configure_pipeline(new.pipeline, priority=level)
        self._pictures.stir()
        return {"pipeline": new.pipeline, "priority": level.name.lower()}

    def weight(self, new: NewWeight) -> dict[str, Any]:
        """Give a pipeline another share."""
        self._living(new.pipeline)
        self._manager.orchestrator.configure_pipeline(new.pipeline, weight=new.weight)
        self._pictures.stir()
        return {"pipeline": new.pipeline, "weight": new.weight}

    async def retry(self, ids: list[str] | None) -> dict[str, Any]:
        """Have the next run of their pipelines try entries of the quarantine again; ``None`` for all."""
        if self.on_retry is None:
            message = "this engine keeps no quarantine"
            raise RejectedError(message, hint="wait until it has ended, then: tenire retry")
        return {"requeued": await self.on_retry(ids)}

    async def cancel(self, pipeline: str) -> dict[str, Any]:
        """End a pipeline, keep what it has committed, and wait until it has ended."""
        progress = self._known(pipeline)
        if progress.state in ("done", "failed"):
            raise self._over(progress)
        run = self._runs.get(pipeline)
        if pipeline not in self._cancelled:
            self._cancelled.add(pipeline)
            if self.on_cancel is not None:
                await self.on_cancel(pipeline)
            if run is not None:
                run.cancel()
        if run is not None:
            await asyncio.wait([run])
        # It may have come to its end just before.
        state = "cancelled" if run is None else progress.state
        return {"pipeline": pipeline, "state": state}

    def _living(self, pipeline: str) -> PipelineProgress:
        progress = self._known(pipeline)
        if progress.state in _ENDED or pipeline in self._cancelled:
            raise self._over(progress)
        return progress

    def _known(self, pipeline: str) -> PipelineProgress:
        progress = self._progress.get(pipeline)
        if progress is None:
            message = f"this engine runs no pipeline {pipeline!r}; it runs: {', '.join(sorted(self._progress))}"
            raise ConfigError(message, key="PIPELINE", hint="tenire status lists them")
        return progress

    def _over(self, progress: PipelineProgress) -> RejectedError:
        state = progress.state if progress.state in _ENDED else "cancelled"
        message = f"pipeline {progress.name} is over: its state is {state}"
        return RejectedError(message, hint="the next run starts it again")


@asynccontextmanager
async def controlled(
    home: Home,
    manager: ConcurrencyManager,
    progress: Mapping[str, PipelineProgress],
    *,
    clock: Clock,
    besides: Besides | None = None,
) -> AsyncIterator[EngineControl]:
    """Let other processes control the engine while the block runs.

    A home in which no socket can be made is logged, and the engine goes on without. It tries again from time to time:
    the disk may only be full, or the component may have been started again in a bad moment.

    Args:
        home: The home, whose lock this engine holds.
        manager: The engine.
        progress: Its pipelines.
        clock: For the time of what is told.
        besides: What else is told.
    """
    control = EngineControl(manager, progress, clock=clock, besides=besides)
    channel: LoopChannel | None = None
    told = False

    async def start() -> bool:
        nonlocal channel, told
        channel = _channel(control, LoopChannel(home.path, timer=manager.timer, clock=clock))
        try:
            await channel.start()
        except OSError as error:
            channel = None
            level = logging.DEBUG if told else logging.WARNING
            reason = error.strerror or error
            _log.log(level, "other processes cannot control this engine for now: %s (%s)", reason, home.path)
            told = True
            return False
        return True

    async def live(life: Life) -> None:
        try:
            while not await start():
                life.ready()  # nobody has to wait for it
                await manager.timer.wait_until(manager.timer.now() + _TRY_AGAIN_S)
            life.ready()
            await life.wait_told_to_end()
        finally:
            if channel is not None:
                # To the end even if cancelled: the socket must not outlive the run.
                await unbroken(channel.aclose())

    def ask(beat: Callable[[], None]) -> None:
        if channel is None or channel.serving:
            beat()

    silence = _SILENCE_S if clock is SYSTEM_CLOCK else None
    with ExitStack() as listening:
        control.happenings.listen(manager.signals, listening)
        await manager.supervisor.add(Child("channel", live, optional=True, silence=silence, ask=ask))
        try:
            yield control
        finally:
            await unbroken(manager.supervisor.remove("channel"))


def _channel(control: EngineControl, channel: LoopChannel) -> LoopChannel:
    channel.register("status", control.status)
    for name in ("why", "pause", "resume", "cancel"):
        channel.register(name, getattr(control, name), takes=str)
    channel.register("priority", control.priority, takes=NewPriority)
    channel.register("weight", control.weight, takes=NewWeight)
    channel.register("retry", control.retry, takes=list[str] | None)
    channel.register("watch", control.watch, takes=Watch)
    return channel
