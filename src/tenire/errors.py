"""Every error that Tenire raises, in one tree.

The class says who is at fault, the fields hold the facts, and the message says
what was expected, what came, where, and what to do.

::

    TenireError
    ├── ConfigError              the user asked for something impossible
    │   └── MissingExtraError    an optional dependency is not installed
    ├── RejectedError            refused before it started
    │   ├── CircuitOpenError     what it calls fails too often for the moment (holds retry_at)
    │   └── BudgetError          it could cost more money than may be spent (holds both)
    ├── ModelError               a model's server refused, failed or broke off (holds status and headers)
    │   ├── AuthenticationError      it does not accept the key
    │   │   └── OutOfCreditError         because the account has nothing left to spend
    │   ├── UnknownModelError        it does not have the model
    │   ├── BadRequestError          it will never answer this request
    │   │   └── ContextLengthError   because it is too long
    │   ├── RateLimitedError         too many calls or tokens (holds retry_after)
    │   ├── ServerError              it failed, or could not be reached
    │   └── BrokenReplyError         it answered, but not with a reply
    ├── CallError                a guarded call was ended by its guard (holds its name, and the tries)
    │   └── CallTimeoutError     also a TimeoutError
    ├── PageError                a web page cannot be had: in tenire.browser
    ├── TaskError                the engine ended a task (holds the task's name)
    │   ├── TaskTimeoutError     also a TimeoutError
    │   ├── WorkerDiedError      its worker process went away
    │   ├── NoWorkerError        there is no worker process for it, and none can be started
    │   ├── DependencyError      a task it waited for failed or was cancelled
    │   └── DeadlockError        it would wait for ever for what it holds itself
    ├── ComponentError           a part of the engine cannot be kept running
    ├── PipelineError            a pipeline as a whole cannot go on
    │   └── DocumentError        one document cannot be used; goes to quarantine
    ├── StoreError               the home or its store cannot be used
    │   ├── HomeBusyError        another engine owns this home (holds its pid)
    │   ├── EmbedderMismatchError
    │   ├── UnreadableStoreError the passages cannot be read: they, or their disk, are damaged
    │   ├── DamagedFileError     a database of the home or its store is damaged (holds its path)
    │   └── ModelFileError       a kept model is missing, damaged or not to be trusted (holds its name)
    ├── PredictionError          a model was given what it cannot take, or gave what nobody can use
    └── ChannelError             an engine in another process cannot be talked to

    InternalError                a bug in Tenire: please report it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AuthenticationError", "BadRequestError", "BrokenReplyError", "BudgetError", "CallError", "CallTimeoutError",
    "ChannelError", "CircuitOpenError", "ComponentError", "ConfigError", "ContextLengthError", "DamagedFileError",
    "DeadlockError", "DependencyError", "DocumentError", "EmbedderMismatchError", "HomeBusyError", "InternalError",
    "MissingExtraError", "ModelError", "ModelFileError", "NoWorkerError", "OutOfCreditError", "PipelineError",
    "PredictionError", "RateLimitedError", "RejectedError", "ServerError", "StoreError", "TaskError",
    "TaskTimeoutError", "TenireError", "UnknownModelError", "UnreadableStoreError", "WorkerDiedError",
]  # fmt: skip


def _rebuild(cls: type[TenireError], message: str, facts: dict[str, Any]) -> TenireError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(facts)
    return error


class TenireError(Exception):
    """Base of all errors that a caller can handle.

    Attributes:
        hint: What to do about it, in one sentence, or ``None``.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")  # where nobody catches it, this is all that people see

    def __reduce__(self) -> tuple[Any, ...]:
        # Facts are keyword fields; the default reduce would lose them on the
        # way back from a worker process.
        return _rebuild, (type(self), str(self), dict(self.__dict__))


class ConfigError(TenireError):
    """A setting, an argument or a path is unknown, of a wrong type or impossible.

    Attributes:
        file: The configuration file, or ``None`` for an argument.
        key: The dotted key, or the option's name.
    """

    def __init__(
        self, message: str, *, file: str | None = None, key: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.key = key


class MissingExtraError(ConfigError):
    """A feature needs a package that is not installed.

    Attributes:
        extra: The name of the extra that brings it.
    """

    def __init__(self, feature: str, *, extra: str, missing: str, install: str | None = None) -> None:
        command = install or f'pip install "tenire[{extra}]"'
        super().__init__(f"{feature} needs {missing}, which is not installed", hint=f"run: {command}")
        self.extra = extra


class RejectedError(TenireError):
    """Refused before it started: the engine is closing, or it can never fit."""


class CircuitOpenError(RejectedError):
    """Not called: too many calls to the same thing have failed, and it is too early to try again.

    Attributes:
        retry_at: When calls are made again, seconds on the guard's clock; ``None`` while
            it is tried out whether they can be.
    """

    def __init__(self, message: str, *, retry_at: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_at = retry_at


class BudgetError(RejectedError):
    """Not called: what it could cost is more than may still be spent.

    Attributes:
        budget_usd: What may be spent in all.
        spent_usd: What was spent, calls in flight included.
    """

    def __init__(self, message: str, *, budget_usd: float, spent_usd: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.budget_usd = budget_usd
        self.spent_usd = spent_usd


class ModelError(TenireError):
    """A model's server refused a call, failed, or broke off.

    Attributes:
        status: The status of HTTP, or ``None`` if there was no answer.
        headers: Those of the answer, in lower case, without any that could hold a key.
        retry_after: Seconds until another call makes sense, or ``None``.
        code: The provider's own name for what is wrong, or ``None``.
        charged: Whether the provider is likely to charge for it all the same.
        tries: Tries of its call that got an answer, once the call has failed for good.
        texts: Places from 0 of texts to embed that have no vector for what is in them, if that is the reason.
        vectors: Those of all other texts then, by place.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        code: str | None = None,
        charged: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.headers = dict(headers or {})
        self.retry_after = retry_after
        self.code = code
        self.charged = charged
        self.tries = 0
        self.texts: tuple[int, ...] = ()
        self.vectors: Mapping[int, Sequence[float]] = {}


class AuthenticationError(ModelError):
    """The server does not accept the key (401, 403)."""


class OutOfCreditError(AuthenticationError):
    """The account behind the key has nothing left to spend (402, or 429 with ``insufficient_quota``)."""


class UnknownModelError(ModelError):
    """The server does not have the model, or not for this key (404)."""


class BadRequestError(ModelError):
    """The server will never answer this request as it is (400, 413, 422)."""


class ContextLengthError(BadRequestError):
    """The prompt and the reply together are longer than the model can take."""


class RateLimitedError(ModelError):
    """Too many calls, or tokens, for the moment (429)."""


class ServerError(ModelError):
    """The server failed (5xx), could not be reached, or did not answer in time."""


class BrokenReplyError(ModelError):
    """The server answered, but what came is no reply: broken off, not JSON, without choices, of a wrong form."""


class CallError(TenireError):
    """A guard, not the function, ended a call.

    Attributes:
        call: The function's name.
        tries: Tries that were begun.
    """

    def __init__(self, message: str, *, call: str, tries: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.call = call
        self.tries = tries


class CallTimeoutError(CallError, TimeoutError):
    """A call, or one try of it, took longer than it may."""


class TaskError(TenireError):
    """The engine, not the function, ended a task.

    Attributes:
        task: The task's name.
    """

    def __init__(self, message: str, *, task: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.task = task


class TaskTimeoutError(TaskError, TimeoutError):
    """A task did not finish within its deadline or its timeout, or could not have."""


class WorkerDiedError(TaskError):
    """The worker process that ran the task went away.

    Attributes:
        exit_code: The process's exit code; negative for a signal (POSIX).
    """

    def __init__(self, message: str, *, task: str, exit_code: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, task=task, hint=hint)
        self.exit_code = exit_code


class NoWorkerError(TaskError):
    """A task never ran because there is no thread or worker process for it; no other like it would get one now."""


class DependencyError(TaskError):
    """A task never ran because a task it waits for failed or was cancelled.

    Attributes:
        dependency: The name of the task that failed.
    """

    def __init__(self, message: str, *, task: str, dependency: str, hint: str | None = None) -> None:
        super().__init__(message, task=task, hint=hint)
        self.dependency = dependency


class DeadlockError(TaskError):
    """A task would wait for ever: what it waits for needs what it holds itself.

    Raised where the task waits, not where it was submitted.
    """


class ComponentError(TenireError):
    """A part of the engine failed too often, or did not end when it was told to.

    Attributes:
        component: The component's name.
    """

    def __init__(self, message: str, *, component: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.component = component


class PipelineError(TenireError):
    """A pipeline as a whole cannot go on.

    Attributes:
        pipeline: The pipeline's name.
        stage: The stage where it happened, or ``None``.
    """

    def __init__(self, message: str, *, pipeline: str, stage: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pipeline = pipeline
        self.stage = stage


class DocumentError(TenireError):
    """One document cannot be used. It goes to quarantine; the run goes on.

    Attributes:
        source: The document's path or URL.
        stage: The stage that refused it, for example ``"validate"``.
        rule: The rule of that stage which it broke, or an empty string where there are no rules.
    """

    def __init__(self, message: str, *, source: str, stage: str, rule: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.stage = stage
        self.rule = rule


class StoreError(TenireError):
    """The home directory, its ledger or its store cannot be used."""


class HomeBusyError(StoreError):
    """Another engine runs on the same home.

    Attributes:
        pid: The other engine's process id.
    """

    def __init__(self, message: str, *, pid: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class EmbedderMismatchError(StoreError):
    """The store was built with another embedder than the one asked for.

    Attributes:
        stored: The embedder that the store was built with.
        asked: The embedder that was asked for.
    """

    def __init__(self, message: str, *, stored: str, asked: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stored = stored
        self.asked = asked


class UnreadableStoreError(StoreError):
    """The passages of a store cannot be read: they are damaged, or their disk is."""


class DamagedFileError(StoreError):
    """A database of the home, or of its store, is damaged.

    Attributes:
        path: The file.
    """

    def __init__(self, message: str, *, path: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class ModelFileError(StoreError):
    """A model that a home keeps, or that is to come in, is missing, damaged or not to be trusted.

    Attributes:
        model: Its name.
    """

    def __init__(self, message: str, *, model: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.model = model


class PredictionError(TenireError):
    """A model, named ``model``, was given what it cannot take, or gave what nobody can use."""

    def __init__(self, message: str, *, model: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.model = model


class ChannelError(TenireError):
    """An engine in another process cannot be talked to: there is none, it refuses, or the connection broke off."""


class InternalError(Exception):
    """Tenire broke one of its own rules. This is a bug: please report it."""
