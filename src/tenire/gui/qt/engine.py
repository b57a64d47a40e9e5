"""An engine beside the windows of a Qt application."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tenire.concurrency.manager import ConcurrencyManager
from tenire.errors import ConfigError, RejectedError
from tenire.gui.binding import QtCore, Signal, is_alive
from tenire.gui.qt.failures import FailureHook, report
from tenire.gui.qt.frames import Frames, Reporter, owner_of
from tenire.gui.qt.loop import open_gui_loop, refuse_elsewhere
from tenire.gui.qt.models import EngineWatch, PipelinesModel, TasksModel
from tenire.gui.qt.signals import QtSignals
from tenire.gui.qt.switch_interval import calm, hurry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.engine_thread import EngineThread
    from tenire.concurrency.handle import Handle

    OnQuit = Literal["cancel", "wait"]

__all__ = ["QtEngine"]

T = TypeVar("T")

_STATES = ("new", "running", "stopping", "stopped")


class QtEngine(QtCore.QObject):
    """Runs an engine on a loop in a thread of its own, and brings what it does into the GUI thread.

    ::

        application = QApplication([])
        with QtEngine(cpu=2) as engine:
            window = Window(engine)
            window.show()
            application.exec()

    It belongs to the GUI thread. While it runs, the interpreter switches threads more
    often, so that a busy engine does not hold up frames, and what slots raise is logged
    and told by ``slot_failed`` before it goes to ``sys.excepthook``.

    Args:
        parent: A Qt object that keeps it, and with which it ends.
        on_quit: What becomes of work that has not ended when the application quits, the
            block is left or the parent destroyed: ``cancel`` it, or ``wait`` for it, with
            the windows closed.
        **options: As for ``ConcurrencyManager``.

    Attributes:
        state: ``new``, ``running``, ``stopping`` or ``stopped``.
        state_changed: Signal: the new state.
        slot_failed: Signal: what a slot has raised.
        manager: The engine.

    Raises:
        ConfigError: If an argument is impossible.
    """

    state_changed = Signal(str)
    slot_failed = Signal(object)

    def __init__(self, parent: QtCore.QObject | None = None, *, on_quit: OnQuit = "cancel", **options: Any) -> None:
        if on_quit not in ("cancel", "wait"):
            message = f"on_quit must be cancel or wait, got {on_quit!r}"
            raise ConfigError(message, key="on_quit")
        super().__init__(parent)
        self._thread: EngineThread = ConcurrencyManager.in_thread(**options)
        self._on_quit = on_quit
        self._manager: ConcurrencyManager | None = None
        self.state = "new"

    # -- life -------------------------------------------------------------

    def start(self) -> None:
        """Start the engine; returns when it takes tasks.

        Raises:
            RejectedError: If it was started before.
            RuntimeError: If there is no application, or this is not the GUI thread.
        """
        refuse_elsewhere("an engine started")
        if self.state != "new":
            message = f"this engine is {self.state}; make a new one"
            raise RejectedError(message)
        application = QtCore.QCoreApplication.instance()
        if application is None:
            message = "an engine beside windows needs a QApplication; make one first"
            raise RuntimeError(message)
        self._manager = self._thread.__enter__()
        self._frames = Frames()
        self._signals = QtSignals(self._manager.signals, self._frames, self)
        self._watch = EngineWatch(self._manager, self._frames, self)
        hook = FailureHook(self.slot_failed.emit)
        self._ending = ending = _Ending(self._thread, self._frames, self._signals, hook)
        cancel = self._on_quit == "cancel"
        # No method of its own: what is destroyed has none any more.
        self._when_destroyed = lambda *_: ending.end(cancel=cancel)
        self.destroyed.connect(self._when_destroyed)
        application.aboutToQuit.connect(self.stop)
        self._turn("running")

    def stop(self, *, cancel: bool | None = None) -> None:
        """Stop the engine; calling it again does nothing.

        Coroutines of the GUI thread are cancelled first, and get a moment to clean up.
        Then the engine ends as ``on_quit`` says, and what it has finished by then is
        delivered. It blocks until the engine has ended, though what that delivers meanwhile
        comes: with ``wait``, close the windows before. Called by a coroutine of the GUI
        thread, it does all this when that one next awaits.

        Args:
            cancel: Whether to cancel what has not ended, in place of ``on_quit``.

        Raises:
            RuntimeError: If this is not the GUI thread.
        """
        refuse_elsewhere("an engine stopped")
        if self.state != "running":
            return
        application = QtCore.QCoreApplication.instance()
        loop = open_gui_loop()
        if loop is not None and not loop.outside(partial(self.stop, cancel=cancel)):
            return
        self._turn("stopping")
        if application is not None:
            application.aboutToQuit.disconnect(self.stop)
        if loop is not None:
            loop.close()
        try:
            self._ending.end(cancel=self._on_quit == "cancel" if cancel is None else cancel)
        finally:
            self.destroyed.disconnect(self._when_destroyed)
            self._turn("stopped")

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; by an exception, cancel what has not ended."""
        self.stop(cancel=True if error is not None else None)

    def _turn(self, state: str) -> None:
        self.state = state
        self.state_changed.emit(state)

    # -- work -------------------------------------------------------------

    @property
    def manager(self) -> ConcurrencyManager:
        """The engine.

        Raises:
            RejectedError: If it has not started.
        """
        if self._manager is None:
            message = "the engine has not started; use `with QtEngine() as engine:` or engine.start()"
            raise RejectedError(message)
        return self._manager

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        on_result: Callable[[Any], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        owner: QtCore.QObject | None = None,
        **options: Any,
    ) -> Handle[Any]:
        """Submit a task as ``manager.submit`` does, and have its end delivered in the GUI thread.

        In an async slot just ``await`` the handle; callbacks are for plain ones.

        Args:
            fn: The function; it runs on the engine, where it must not touch a widget.
            *args: Its arguments.
            on_result: Is given its value.
            on_error: Is given what it raised; default: ``sys.excepthook`` is, if there is
                an ``on_result``. A cancelled task calls neither.
            owner: A Qt object; once that is gone neither is called. Default: for each the
                one whose method it is.
            **options: As for ``manager.submit``.
        """
        handle = self.manager.submit(fn, *args, **options)
        if on_result is not None or on_error is not None:

            def deliver(ended: Handle[Any]) -> None:
                if ended.cancelled():
                    return
                error = ended.exception()
                call = on_result if error is None else on_error or report
                if call is None:
                    return
                asked = owner if owner is not None else owner_of(call)
                if asked is None or is_alive(asked):
                    call(ended.result() if error is None else error)

            handle.add_done_callback(_taken)
            self.when_done(handle, deliver)
        return handle

    def when_done(self, handle: Handle[T], call: Callable[[Handle[T]], object]) -> None:
        """Call ``call(handle)`` in the GUI thread once a task has ended."""
        # By a key of its own: another one may wait for the same task.
        handle.add_done_callback(lambda ended: self._frames.put(object(), call, ended))

    def reporter(self, call: Callable[..., object], *, owner: QtCore.QObject | None = None) -> Reporter:
        """Return a function to report progress with, from any thread and as often as you like.

        The newest that it is given reaches ``call`` in the GUI thread, once a frame at most:
        ``engine.submit(work, engine.reporter(bar.setValue))``.

        Args:
            call: What is called.
            owner: A Qt object; once that is gone, nothing is called. Default: the one whose
                method ``call`` is.
        """
        return self._running_frames().reporter(call, owner=owner)

    @property
    def signals(self) -> QtSignals:
        """The engine's events as Qt signals."""
        self._running_frames()
        return self._signals

    def pipelines_model(self, parent: QtCore.QObject | None = None) -> PipelinesModel:
        """Return a model of the engine's pipelines, which follows them."""
        self._running_frames()
        return self._watch.pipelines(parent)

    def tasks_model(self, parent: QtCore.QObject | None = None) -> TasksModel:
        """Return a model of the engine's tasks that have not ended, which follows them."""
        self._running_frames()
        return self._watch.tasks(parent)

    def _running_frames(self) -> Frames:
        self.manager  # noqa: B018 - it raises if there is none
        return self._frames


class _Ending:
    """Ends what an engine has while it runs; also where the ``QtEngine`` itself is gone."""

    def __init__(self, thread: EngineThread, frames: Frames, signals: QtSignals, hook: FailureHook) -> None:
        self._thread = thread
        self._frames = frames
        self._signals = signals
        self._hook = hook
        self._ended = False
        # What the work waits for here, room in a signal's queue for one, must come while this waits for the work.
        thread.meanwhile = frames.flush
        hurry()
        hook.install()

    def end(self, *, cancel: bool) -> None:
        """End the engine, deliver what it has finished, and leave nothing behind; once."""
        if self._ended:
            return
        self._ended = True
        try:
            if cancel:
                self._thread.__exit__(_Stopped, _Stopped(), None)
            else:
                self._thread.__exit__(None, None, None)
        finally:
            self._frames.flush()
            self._signals.close()
            self._frames.close()
            self._hook.remove()
            calm()


def _taken(ended: Handle[Any]) -> None:
    """Let the engine know that somebody is told of an error, before it counts it as told to nobody."""
    if not ended.cancelled():
        ended.exception()


class _Stopped(Exception):  # noqa: N818 - it is no error: an engine that is left by an exception cancels its work
    """The application quits."""
