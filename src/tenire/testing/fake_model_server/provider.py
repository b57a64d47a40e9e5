"""What becomes of a call: who may ask, what it costs, what goes wrong, and what is answered.

Pure: a call and the time in, a plan out; and a response when the plan's time has come.
A call passes these in order, and the first that stops it decides:

1. the key (401), the body (400), the model (404), the context (400);
2. an outage;
3. the quota (429), which is charged from here on, also for what fails later;
4. poison, then a fault by chance;
5. a good reply.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from tenire.testing.fake_model_server.call_errors import (
    CallError,
    busy,
    content_refused,
    context_too_long,
    no_such_part,
    server_failed,
    unknown_model,
    wrong_key,
)
from tenire.testing.fake_model_server.call_log import CallLog, CallRecord
from tenire.testing.fake_model_server.calls import Made
from tenire.testing.fake_model_server.chance import Fates, draw
from tenire.testing.fake_model_server.latency import latency
from tenire.testing.fake_model_server.meters import make_meter
from tenire.testing.fake_model_server.plans import Plan, Response
from tenire.testing.fake_model_server.quotas import Quotas, Refusal
from tenire.testing.fake_model_server.rate_headers import rate_headers, retry_headers, try_again
from tenire.testing.fake_model_server.words import (
    count_tokens,
    missing_reference,
    prompt_key,
    reply_text,
    value_of_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.testing.fake_model_server.call_log import ServerStatistics
    from tenire.testing.fake_model_server.calls import Call, Dialect
    from tenire.testing.fake_model_server.settings import Outage, ServerSettings

__all__ = ["Provider"]

_SLOWNESS = 10.0
_CHANCE_OF_PHASE = 0.618


class Provider:
    """The server's mind.

    Args:
        settings: What it is like.
        wall: Seconds since the epoch, for what is told to people.
    """

    def __init__(self, settings: ServerSettings, wall: Callable[[], float]) -> None:
        self.settings = settings
        self.wall = wall
        origin = -settings.window * _CHANCE_OF_PHASE * ((settings.seed % 97) + 1)
        meters = {
            name: make_meter(
                settings.enforcement, limit, settings.window, quantum=settings.quantum, origin=origin
            )
            for name, limit in settings.limits().items()
        }  # fmt: skip
        self.quotas = Quotas(meters)
        self.log = CallLog(settings.records, settings.limits())
        self._latency = latency(settings.latency)
        self._fates = Fates(settings.faults)
        self._tries: dict[int, int] = {}
        self._began: float | None = None
        poison = settings.poison
        self._poisoned: Callable[[str], bool] = (
            poison if callable(poison) else (lambda text: bool(poison) and poison in text)
        )

    def seconds(self, now: float) -> float:
        """Return the seconds since the first call."""
        return 0.0 if self._began is None else now - self._began

    def statistics(self, now: float) -> ServerStatistics:
        """Return what all calls add up to."""
        return self.log.statistics(self.seconds(now))

    def arrive(self, dialect: Dialect, body: bytes, key: str | None, now: float, *, model: str | None = None) -> Plan:
        """Decide what becomes of a call.

        Args:
            dialect: In which it is written.
            body: Of the request.
            key: That it brought, or ``None``.
            now: Seconds.
            model: That the address names, if it does.
        """
        if self._began is None:
            self._began = now
        self.log.began()
        try:
            call = self._read(dialect, body, key, model)
        except CallError as error:
            return Plan(None, dialect, now, "invalid", error=error)
        plan = Plan(call, dialect, now, "answered", key=prompt_key(call.model, call.prompt))
        outage = self.settings.outage_at(now - self._began)
        if outage is not None and outage.kind != "slow":
            return self._outage(plan, outage, now)
        refusal = self._charge(plan, now)
        plan.headers = rate_headers(self.settings.headers, self.quotas, now, self.wall())
        if refusal is not None:
            return self._refuse(plan, refusal, now)
        self._fate(plan)
        if outage is not None:
            plan.seconds *= _SLOWNESS
        return plan

    def respond(self, plan: Plan, now: float) -> Response:
        """Return what is sent when the time of a plan has come."""
        if plan.error is not None:
            response = Response(plan.error.status, plan.headers, plan.dialect.error(plan.error))
        elif plan.outcome in ("hang", "drop") or plan.call is None:
            response = Response(0, b"")
        else:
            response = self._reply(plan, plan.call, now)
        if plan.outcome in ("hang", "drop", "wrong_length"):
            response.delivery = plan.outcome  # type: ignore[assignment]
        elif plan.outcome == "disconnect":
            response.delivery, response.place = "cut", plan.chance.place
        plan.status = response.status
        return response

    def answer_line(self, dialect: Dialect, body: bytes, now: float) -> tuple[int, bytes]:
        """Answer one call of a batch: no quota, and of the faults those that are answers.

        Args:
            dialect: In which it is written.
            body: Of the call.
            now: Seconds.

        Returns:
            The status and the body of the response.
        """
        if self._began is None:
            self._began = now
        self.log.began()
        try:
            call = self._read(dialect, body, self.settings.api_key, None)
        except CallError as error:
            plan = Plan(None, dialect, now, "invalid", error=error)
        else:
            call.stream = False
            plan = Plan(call, dialect, now, "answered", key=prompt_key(call.model, call.prompt))
            self._size(plan)
            self._fate(plan)
            if plan.error is None:
                plan.outcome = "answered"
        response = self.respond(plan, now)
        self.ended(plan, now)
        return response.status, response.body

    def ended(self, plan: Plan, now: float, *, outcome: str | None = None) -> None:
        """Remember a call that is over.

        Args:
            plan: The call.
            now: Seconds.
            outcome: In place of the plan's, for what nobody planned.
        """
        began = self._began or 0.0
        call = plan.call
        self.log.ended(
            CallRecord(
                at=plan.at - began,
                ended=now - began,
                status=plan.status,
                outcome=outcome or plan.outcome,
                admitted=plan.admitted,
                group=call.group if call else "",
                prompt=f"{plan.key:016x}",
                input_tokens=plan.tokens[0],
                output_tokens=plan.tokens[1],
            )
        )

    def reject(self, plan: Plan) -> None:
        """Turn a plan into a refusal, since no slot is free."""
        plan.outcome, plan.seconds, plan.occupies = "rejected", 0.0, False
        plan.error = server_failed(529 if self.settings.headers == "anthropic" else 503)

    def _read(self, dialect: Dialect, body: bytes, key: str | None, model: str | None) -> Call:
        settings = self.settings
        if settings.api_key is not None and key != settings.api_key:
            raise wrong_key()
        call = dialect.read(body, settings, model)
        if settings.models is not None and call.model not in settings.models:
            raise unknown_model(call.model)
        wanted = call.tool[1] if call.tool else call.schema
        if wanted is not None and (target := missing_reference(wanted)) is not None:
            raise no_such_part(target)
        asked = call.input_tokens + (call.most or 0)
        if asked > settings.context and not call.texts:
            raise context_too_long(settings.context, call.input_tokens, call.most or 0)
        return call

    def _outage(self, plan: Plan, outage: Outage, now: float) -> Plan:
        plan.outcome = "outage"
        if outage.kind in ("hang", "drop"):
            plan.outcome = outage.kind
        elif outage.kind == "429":
            left = outage.at + outage.seconds - self.seconds(now)
            plan.error = busy("Too many requests: the server is busy.")
            plan.headers = retry_headers(self.settings.headers, left)
        else:
            plan.error = server_failed(503)
        return plan

    def _size(self, plan: Plan) -> int:
        """Decide how long the reply is; return the most tokens that the call may have."""
        call = plan.call
        assert call is not None
        low, high = self.settings.output_tokens
        natural = 0 if call.texts else low + plan.key % (high - low + 1)
        most = natural if call.most is None else call.most
        plan.cut = most < natural
        plan.output_tokens = min(natural, most)
        return most

    def _charge(self, plan: Plan, now: float) -> Refusal | None:
        call = plan.call
        assert call is not None
        most = self._size(plan)
        reserved = most * call.choices if self.settings.charge == "reserved" else 0
        plan.tokens = call.input_tokens, reserved
        costs = {
            "requests": 1,
            "tokens": call.input_tokens + reserved,
            "input_tokens": call.input_tokens,
            "output_tokens": reserved,
        }
        refusal = self.quotas.admit(costs, now)
        plan.admitted = refusal is None
        return refusal

    def _refuse(self, plan: Plan, refusal: Refusal, now: float) -> Plan:
        plan.outcome = "refused"
        plan.error = CallError(429, refusal.metric, try_again(refusal, now), "rate_limit_exceeded")
        if self.settings.retry_after and not math.isinf(refusal.ready_at):
            plan.headers += retry_headers(self.settings.headers, refusal.ready_at - now)
        return plan

    def _fate(self, plan: Plan) -> None:
        call = plan.call
        assert call is not None
        tries = self._tries
        attempt = tries[plan.key] = tries.get(plan.key, 0) + 1
        plan.chance = draw(self.settings.seed, plan.key.to_bytes(8, "big"), attempt)
        plan.seconds = self._latency(plan.chance.latency)
        if not call.stream:
            plan.seconds += plan.output_tokens * self.settings.seconds_per_token
        plan.occupies = True
        if self._poisoned(call.prompt):
            plan.outcome = "poisoned"
            plan.error = _poison(self.settings.poison_answer)
            if self.settings.poison_answer in ("hang", "drop"):
                plan.outcome = self.settings.poison_answer
            return
        fault = self._fates.of(plan.chance.fault)
        if fault is None or (fault == "off_schema" and call.schema is None):
            return
        plan.outcome = fault
        if fault == "slow":
            plan.outcome, plan.seconds = "answered", max(1.0, plan.seconds * _SLOWNESS)
        elif fault in ("error_500", "error_503"):
            plan.error = server_failed(int(fault[-3:]))
        elif fault == "refuse":
            plan.error = CallError(
                429, "requests", "Rate limit reached. Please try again in 1s.", "rate_limit_exceeded"
            )
            plan.headers += retry_headers(self.settings.headers, 1.0) if self.settings.retry_after else b""

    def _reply(self, plan: Plan, call: Call, now: float) -> Response:
        settings = self.settings
        text = "" if call.texts else _text(plan, call)
        hidden = 0 if call.texts else settings.reasoning_tokens
        output = (count_tokens(text) + hidden) * call.choices
        if settings.charge == "used" and output:
            self.quotas.charge("tokens", output, now)
            self.quotas.charge("output_tokens", output, now)
            plan.tokens = plan.tokens[0], output
        made = Made(
            key=plan.key,
            text=text,
            cut=plan.cut,
            output_tokens=output,
            reasoning_tokens=hidden * call.choices,
            cached_tokens=min(settings.cached_tokens, call.input_tokens),
            created=int(self.wall()),
            empty=plan.outcome == "empty",
        )
        if call.stream:
            pieces = call.dialect.pieces(call, made)
            if _is_malformed(plan, settings):
                pieces[len(pieces) // 2] = b'data: {"choices": [{"delta": {"content": "bro\n\n'
            if plan.outcome == "wrong_length":  # a stream has no length: it ends too soon
                del pieces[len(pieces) // 2 :]
            pause = settings.seconds_per_token * plan.output_tokens / len(pieces)
            return Response(200, plan.headers, pieces=pieces, pause=pause)
        body = call.dialect.reply(call, made)
        if _is_malformed(plan, settings):
            body = body[: max(1, len(body) // 2)] + b"\xff\x00 <html>Bad gateway</html>"
        return Response(200, plan.headers, body)


def _is_malformed(plan: Plan, settings: ServerSettings) -> bool:
    return plan.outcome == "malformed" or (plan.outcome == "poisoned" and settings.poison_answer == "malformed")


def _text(plan: Plan, call: Call) -> str:
    wanted = call.tool[1] if call.tool else call.schema
    if wanted is None or plan.outcome == "off_schema":
        return reply_text(call.last, plan.key, plan.output_tokens)
    text = msgspec.json.encode(value_of_schema(wanted, plan.key)).decode()
    plan.cut = call.most is not None and len(text) > call.most * 4
    return text[: call.most * 4] if plan.cut and call.most is not None else text


def _poison(answer: str) -> CallError | None:
    return {"500": server_failed(500), "400": content_refused()}.get(answer)


def _marks(poison: str | Callable[[str], bool] | None) -> Callable[[str], bool]:
    if poison is None:
        return lambda _prompt: False
    return poison if callable(poison) else lambda prompt: poison in prompt
