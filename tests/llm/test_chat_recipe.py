from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetError,
    CallTimeoutError,
    ContextLengthError,
    ModelError,
    RejectedError,
    ServerError,
    StoreError,
    TenireError,
    UnknownModelError,
)
from tenire.llm.chat_recipe import ChatRecipe
from tenire.llm.records import Usage
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.records import Row
from tenire.pipeline.rows.template import Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass
class Said:
    text: str
    usage: Usage | None = field(default_factory=lambda: Usage(7, 3))
    cached: bool = False
    data: Any = None


@dataclass
class Model:
    """Answers with what it was asked, or fails. ``most``: characters that it can take."""

    error: Exception | None = None
    most: int = 10**9
    complaint: str = "maximum context length is {most} tokens. However, you requested {asked} tokens"
    said: Said | None = None
    prompts: list[list[Any]] = field(default_factory=list)

    async def __call__(self, prompt: Sequence[Mapping[str, str]]) -> Any:
        self.prompts.append(list(prompt))
        if self.error is not None:
            raise self.error
        content = prompt[-1]["content"]
        if len(content) > self.most:
            raise ContextLengthError(self.complaint.format(most=self.most, asked=len(content)), status=400)
        return self.said or Said(content)


def recipe(model: Model, prompt: str = "Sum up: {text}", **options: Any) -> ChatRecipe:
    return ChatRecipe("pipelines.p.prompt", model, "m", Template(prompt), **options)


def row(**fields: Any) -> Row:
    return Row("1", 1, True, "/f.jsonl", "line 1", fields, 10)


def answer(chat: ChatRecipe, **fields: Any) -> Any:
    return asyncio.run(chat.answer(row(**fields)))


def test_the_prompt_of_a_row_is_asked_and_its_reply_is_the_output() -> None:
    model = Model()
    chat = recipe(model, system=Template("Speak {language}."))
    assert chat.fields == ("text", "language")
    said = answer(chat, text="long", language="English")
    assert said == {"output": "Sum up: long", "usage": {"input_tokens": 7, "output_tokens": 3}}
    assert model.prompts == [
        [{"role": "system", "content": "Speak English."}, {"role": "user", "content": "Sum up: long"}]
    ]


def test_a_reply_by_a_schema_is_the_output_as_data_and_unknown_usage_is_null() -> None:
    said = answer(recipe(Model(said=Said('{"a": 1}', usage=None, data={"a": 1}))), text="x")
    assert said == {"output": {"a": 1}, "usage": {"input_tokens": None, "output_tokens": None}}


def test_what_decides_the_reply_decides_the_request() -> None:
    base = recipe(Model())
    same = recipe(Model(), shorten=True)
    assert base.request(row(text="x")) == same.request(row(text="x", other="field"))
    others = [
        base.request(row(text="y")),
        recipe(Model(), prompt="Else: {text}").request(row(text="x")),
        recipe(Model(), system=Template("s")).request(row(text="x")),
        recipe(Model(), asked={"max_output_tokens": 5}).request(row(text="x")),
        ChatRecipe("k", Model(), "m2", Template("Sum up: {text}")).request(row(text="x")),
    ]
    assert len({base.request(row(text="x")), *others}) == 6
    assert (base.policy, same.policy) == ("", "shorten")


def test_a_row_without_the_field_is_refused_before_it_is_asked() -> None:
    with pytest.raises(RowError, match="no field 'text'; it has: title"):
        recipe(Model()).request(row(title="x"))


@pytest.mark.parametrize("shorten", [False, True])
@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (BadRequestError("no", status=400), 1),
        (ServerError("down", status=500), 8),
        (ContextLengthError("too long", status=400), 1),
        (ServerError("not reached", code="connect"), 0),
        (RejectedError("this call needs 9,000 tokens, and the quota has 5,000 a minute"), 0),
        (CallTimeoutError("slow", call="m", tries=3), 0),
    ],
)
def test_what_is_wrong_with_one_row_goes_to_quarantine(error: TenireError, answers: int, shorten: bool) -> None:
    if isinstance(error, ModelError):
        error.tries = answers
    with pytest.raises(RowError) as caught:
        answer(recipe(Model(error), shorten=shorten), text="x")
    assert str(caught.value).startswith(str(error))
    assert caught.value.stage == "call"
    assert caught.value.attempts == answers


@pytest.mark.parametrize("shorten", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("key", status=401),
        UnknownModelError("model", status=404),
        BudgetError("money", budget_usd=1, spent_usd=1),
        StoreError("disk"),
        ZeroDivisionError("a bug"),
    ],
)
def test_what_is_wrong_with_all_rows_ends_the_pipeline(error: Exception, shorten: bool) -> None:
    with pytest.raises(type(error)) as caught:
        answer(recipe(Model(error), shorten=shorten), text="x")
    assert caught.value is error


def test_a_hint_is_kept_for_the_quarantine() -> None:
    with pytest.raises(RowError, match=r"too odd \(ask plainly\)"):
        answer(recipe(Model(BadRequestError("too odd", hint="ask plainly"))), text="x")


def test_a_prompt_that_is_too_long_comes_with_the_setting_that_cuts_it() -> None:
    with pytest.raises(RowError, match=r"too long \(.*on_too_long"):
        answer(recipe(Model(ContextLengthError("too long"))), text="x")


# -- too long ------------------------------------------------------------------


def test_a_prompt_that_is_too_long_is_cut_by_as_much_as_the_server_says() -> None:
    model = Model(most=1_000)
    said = answer(recipe(model, shorten=True, prompt="{title}: {text}"), title="The title", text="word " * 2_000)
    assert len(model.prompts) == 2
    assert said["output"].startswith("The title: word word")
    assert said["output"].endswith("word")
    assert 700 < len(said["output"]) <= 1_000


@pytest.mark.parametrize(
    "complaint",
    ["prompt is too long: {asked} tokens > {most} maximum", "the context is too short", "at most {most} tokens"],
)
def test_every_way_of_saying_it_ends_in_a_prompt_that_fits(complaint: str) -> None:
    model = Model(most=1_000, complaint=complaint)
    said = answer(recipe(model, shorten=True), text="x" * 9_000)
    assert len(said["output"]) <= 1_000
    assert len(model.prompts) <= 6


def test_a_row_that_cannot_be_cut_short_enough_is_given_up() -> None:
    model = Model(most=3)
    with pytest.raises(RowError, match="maximum context"):
        answer(recipe(model, shorten=True), text="x" * 5_000)
    assert len(model.prompts) <= 9
    with pytest.raises(RowError, match="maximum context"):
        answer(recipe(Model(most=3), shorten=True), text=5_000)


def test_nothing_is_cut_unless_it_was_asked_for() -> None:
    model = Model(most=10)
    with pytest.raises(RowError):
        answer(recipe(model), text="x" * 5_000)
    assert len(model.prompts) == 1
