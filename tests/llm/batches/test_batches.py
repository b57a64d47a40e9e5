"""Prompts in batches, from the client's side: each answered once and paid for once, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    BudgetError,
    ConfigError,
    ModelError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.batches import asking, desk
from tenire.llm.money import Price

from .fake_provider import ServerOfBatches
from .programs import PROMPTS, batch, spent, talk

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.llm.client import ChatClient


def test_prompts_are_answered_in_a_batch_at_half_the_price(tmp_path: Path) -> None:
    server = ServerOfBatches()
    replies = batch(server, tmp_path, PROMPTS)
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        assert prompt in reply.text
        assert reply.usage is not None
        assert reply.cost_usd == (reply.usage.input_tokens * 0.5 + reply.usage.output_tokens) / 1e6
        assert not reply.cached
    assert server.times("POST /batches") == 1
    assert server.times("POST /files") == 1
    assert server.desk._files == {}  # all deleted
    assert not list((tmp_path / "batches").iterdir())
    calls, cost, left = spent(tmp_path)
    assert (calls, left) == (10, 0)
    assert cost == sum(round((reply.cost_usd or 0) * 1e12) for reply in replies)


def test_what_is_kept_is_not_asked_again_and_equal_prompts_are_one_line(tmp_path: Path) -> None:
    server = ServerOfBatches()
    batch(server, tmp_path, PROMPTS[:4])
    replies = batch(server, tmp_path, [*PROMPTS[2:6], PROMPTS[5]])
    assert [reply.cached for reply in replies] == [True, True, False, False, True]
    assert replies[3].text == replies[4].text
    assert server.sent_lines == 6
    assert spent(tmp_path)[0] == 6


def test_files_are_cut_by_lines_and_by_bytes(tmp_path: Path) -> None:
    server = ServerOfBatches()
    batch(server, tmp_path, PROMPTS, most_lines=4)
    assert sorted(len(one.lines) for one in server.desk._batches.values()) == [2, 4, 4]
    server = ServerOfBatches()
    replies = batch(server, tmp_path, [*(f"Other {number}" for number in range(6)), "long " * 200], most_bytes=600)
    assert [len(one.lines) for one in server.desk._batches.values()] == [3, 3]
    assert isinstance(replies[6].error, BadRequestError)
    assert "at most 600 bytes, got 1" in str(replies[6].error)


def test_lines_that_fail_for_the_moment_are_asked_again_and_poison_is_told(tmp_path: Path) -> None:
    server = ServerOfBatches(faults={"error_500": 0.4}, poison="arsenic", poison_answer="400", seed=3)
    replies = batch(server, tmp_path, [*PROMPTS, "arsenic"])
    assert [reply.error for reply in replies[:10]] == [None] * 10
    assert isinstance(replies[10].error, BadRequestError)
    assert "content policy" in str(replies[10].error)
    assert server.times("POST /batches") > 1
    assert spent(tmp_path)[0] == 10
    assert spent(tmp_path)[2] == 0


def test_a_line_that_always_fails_is_told_after_three_batches(tmp_path: Path) -> None:
    server = ServerOfBatches(poison="arsenic")
    replies = batch(server, tmp_path, ["arsenic", "salt"])
    assert isinstance(replies[0].error, ServerError)
    assert replies[1].error is None
    assert server.times("POST /batches") == 3
    assert server.sent_lines == 4


def test_what_an_expired_batch_has_is_kept_and_the_rest_goes_into_another(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.expires = [2.0, 2.0, 2.0, 2.0, None]
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None and reply.text for reply in replies)
    assert [len(one.lines) for one in server.desk._batches.values()] == [10, 6, 4, 3, 2]
    assert spent(tmp_path)[0] == 10


def test_what_no_batch_answers_in_time_is_told(tmp_path: Path) -> None:
    server = ServerOfBatches(batch_expires=0.5)  # none
    (reply,) = batch(server, tmp_path, PROMPTS[:1])
    assert isinstance(reply.error, ServerError)
    assert "in 3 batches" in str(reply.error)
    assert spent(tmp_path) == (0, 0, 0)


# -- what the provider does not take ------------------------------------------------


def test_a_file_that_is_too_large_is_halved_until_it_is_taken(tmp_path: Path) -> None:
    server = ServerOfBatches(batch_bytes=700)
    replies = batch(server, tmp_path, [*PROMPTS, "long " * 200])
    assert [reply.error for reply in replies[:10]] == [None] * 10
    assert isinstance(replies[10].error, BadRequestError)
    assert "too large" in str(replies[10].error)
    assert all(len(one.lines) <= 4 for one in server.desk._batches.values())
    assert server.sent_lines == 10
    assert spent(tmp_path)[::2] == (10, 0)


def test_a_batch_that_is_too_much_waits_for_others_and_is_halved_when_it_is_alone(tmp_path: Path) -> None:
    server = ServerOfBatches(batch_queue=4)
    replies = batch(server, tmp_path, PROMPTS, most_lines=6)  # 6 and 4: the 6 never fit
    assert all(reply.error is None for reply in replies)
    sizes = sorted(len(one.lines) for one in server.desk._batches.values() if one.status == "completed")
    assert sizes == [3, 3, 4]
    assert server.sent_lines == 10


def test_an_upload_that_is_refused_for_the_moment_is_tried_again(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("POST /files", RateLimitedError("too many", status=429, retry_after=0.01))
    server.fail("POST /files", times=2)
    server.fail("POST /batches", RateLimitedError("too many", status=429))
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None for reply in replies)
    assert server.sent_lines == 10


def test_a_batch_whose_answer_was_lost_is_found_and_not_made_twice(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("POST /batches", lost=True)
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None for reply in replies)
    assert server.times("POST /batches") == 1
    assert server.sent_lines == 10


def test_looks_and_downloads_that_fail_are_made_again(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("GET /batches/", times=4)
    server.fail("GET /files/", times=2)
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None for reply in replies)
    assert spent(tmp_path)[0] == 10


@pytest.mark.parametrize("question", ["POST /files", "POST /batches", "GET /batches/", "GET /files/"])
def test_a_wrong_key_ends_it_and_nothing_is_lost(tmp_path: Path, question: str) -> None:
    server = ServerOfBatches()
    server.fail(question, AuthenticationError("wrong key", status=401))
    with pytest.raises(AuthenticationError):
        batch(server, tmp_path, PROMPTS)
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None for reply in replies)
    assert server.sent_lines == 10
    assert spent(tmp_path)[::2] == (10, 0)


def test_a_server_that_stays_down_ends_it(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("POST /files", times=8)
    with pytest.raises(ServerError):
        batch(server, tmp_path, PROMPTS)
    assert spent(tmp_path) == (0, 0, 0)


def test_a_batch_that_is_refused_as_a_whole_says_why_and_is_not_waited_for_again(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.desk._check_queue = lambda new, now: new.errors.append(  # type: ignore[method-assign]
        {"code": "model_not_supported", "message": "no batches of this model"}
    )
    with pytest.raises(BadRequestError, match=r"no batches of this model \(model_not_supported\)"):
        batch(server, tmp_path, PROMPTS)
    assert spent(tmp_path) == (0, 0, 0)


def test_a_batch_that_the_provider_knows_no_more_is_made_again(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("GET /batches/", ModelError("no such batch", status=404))
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None for reply in replies)
    assert server.times("POST /batches") == 2


# -- money ------------------------------------------------------------------------------


def test_a_batch_that_could_cost_too_much_is_not_handed_over(tmp_path: Path) -> None:
    server = ServerOfBatches()
    with pytest.raises(BudgetError, match="budget_usd"):
        batch(server, tmp_path, PROMPTS, budget_usd=1e-4)
    assert server.times("POST") == 0
    assert spent(tmp_path) == (0, 0, 0)
    batch(server, tmp_path, PROMPTS, budget_usd=1e-3)
    assert server.times("POST /batches") == 1


def test_an_estimate_says_what_budget_does_not_keep_a_batch_from_being_handed_over(tmp_path: Path) -> None:
    server = ServerOfBatches()
    full = Price(1.0, 2.0, batch_share=1.0)
    told = talk(server, tmp_path, lambda client: client.estimate(PROMPTS), price=full)
    assert told.needed_usd > told.cost_usd
    with pytest.raises(BudgetError, match="budget_usd"):
        batch(server, tmp_path, PROMPTS, budget_usd=told.cost_usd, price=full)
    batch(server, tmp_path, PROMPTS, budget_usd=told.needed_usd, price=full)
    assert server.times("POST /batches") == 1


def test_what_is_spent_counts_in_the_next_run(tmp_path: Path) -> None:
    server = ServerOfBatches()
    batch(server, tmp_path, PROMPTS, budget_usd=1e-3)
    cost = spent(tmp_path)[1]
    assert cost > 1e8
    with pytest.raises(BudgetError):
        batch(server, tmp_path, ["another"], budget_usd=cost / 1e12)


# -- replies with a schema ----------------------------------------------------------------


def test_a_reply_that_does_not_follow_the_schema_is_paid_and_asked_again(tmp_path: Path) -> None:
    server = ServerOfBatches()
    schema = {"type": "object", "properties": {"never": {"type": "null"}}, "required": ["never", "there"]}
    (reply,) = batch(server, tmp_path, PROMPTS[:1], schema=schema)
    assert isinstance(reply.error, BrokenReplyError)
    assert server.times("POST /batches") == 3
    assert spent(tmp_path)[0] == 3
    good = {"type": "object", "properties": {"tons": {"type": "integer"}}, "required": ["tons"]}
    (reply,) = batch(server, tmp_path, PROMPTS[:1], schema=good)
    assert list(reply.data) == ["tons"]


# -- auto -------------------------------------------------------------------------------


def test_auto_asks_at_once_what_cannot_wait_or_is_no_cheaper(tmp_path: Path) -> None:
    server = ServerOfBatches()
    replies = batch(server, tmp_path, PROMPTS[:3], mode="auto", deadline=3600.0)
    assert (len(server.realtime), server.sent_lines) == (3, 0)
    assert all(reply.text for reply in replies)
    dear = Price(1.0, 2.0, batch_share=1.0)
    batch(server, tmp_path, PROMPTS[3:6], mode="auto", price=dear)
    assert (len(server.realtime), server.sent_lines) == (6, 0)
    batch(server, tmp_path, PROMPTS[6:8], mode="auto")
    batch(server, tmp_path, PROMPTS[8:], mode="auto", deadline=200_000.0)
    assert (len(server.realtime), server.sent_lines) == (6, 4)
    assert spent(tmp_path)[0] == 10


def test_what_a_batch_leaves_undone_is_asked_at_once_if_there_is_no_time_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = ServerOfBatches(batch_expires=3.0)
    answers = iter([True] * 10)
    monkeypatch.setattr(asking, "in_batch", lambda *_, **__: next(answers, False))
    replies = batch(server, tmp_path, PROMPTS, mode="auto", deadline=100.0)
    assert all(reply.error is None and reply.text for reply in replies)
    assert server.times("POST /batches") == 1
    assert len(server.realtime) == 4
    assert "paid twice" not in caplog.text
    assert spent(tmp_path)[0] == 10


NO_SUCH_ADDRESS = [
    UnknownModelError("got 404 Not Found", status=404),
    BadRequestError("got 405 Method Not Allowed", status=405),
    ServerError("got 501 Not Implemented", status=501),
]


@pytest.mark.parametrize("error", NO_SUCH_ADDRESS)
@pytest.mark.parametrize(
    ("question", "anthropic"), [("POST /files", False), ("POST /batches", False), ("POST /messages/batches", True)]
)
def test_auto_asks_at_once_where_there_is_no_batch_api_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, question: str, error: ModelError, *, anthropic: bool
) -> None:
    server = ServerOfBatches(anthropic=anthropic)
    server.fail(question, error, times=100)
    replies = batch(server, tmp_path, [*PROMPTS, *PROMPTS[:2]], mode="auto", most_lines=4)
    assert all(reply.error is None and reply.text for reply in replies)
    assert len(server.realtime) == 10
    assert server.times(question) == 1
    assert server.desk._batches == {}
    assert getattr(server.desk, "_files", {}) == {}  # what was taken before is deleted
    [line] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line == f"prompts are asked at once, at the usual price: the server has no batch API ({error})"
    assert spent(tmp_path)[::2] == (10, 0)
    assert not list((tmp_path / "batches").iterdir())


@pytest.mark.parametrize("error", NO_SUCH_ADDRESS)
@pytest.mark.parametrize("question", ["POST /files", "POST /batches"])
def test_batch_ends_with_an_error_where_there_is_no_batch_api(tmp_path: Path, question: str, error: ModelError) -> None:
    server = ServerOfBatches()
    server.fail(question, error)
    with pytest.raises(type(error), match=str(error)):
        batch(server, tmp_path, PROMPTS)
    assert server.realtime == []


def test_auto_goes_on_where_an_earlier_run_found_no_batch_api(tmp_path: Path) -> None:
    server = ServerOfBatches()
    server.fail("POST /batches", NO_SUCH_ADDRESS[0])
    with pytest.raises(UnknownModelError):
        batch(server, tmp_path, PROMPTS)
    server.fail("GET /batches", NO_SUCH_ADDRESS[0])  # was it made?
    replies = batch(server, tmp_path, PROMPTS, mode="auto")
    assert all(reply.error is None for reply in replies)
    assert (len(server.realtime), server.times("POST /files")) == (10, 1)
    assert spent(tmp_path)[::2] == (10, 0)


def test_what_a_batch_held_of_the_budget_is_free_for_those_who_ask_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_ROOM", 1)
    monkeypatch.setattr(desk, "_ROOM", 1)
    server = ServerOfBatches()
    server.fail("POST /files", NO_SUCH_ADDRESS[0])
    replies = batch(server, tmp_path, PROMPTS, mode="auto", budget_usd=4.6e-4)
    assert all(reply.error is None for reply in replies)


def test_realtime_is_map(tmp_path: Path) -> None:
    server = ServerOfBatches()
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS, mode="realtime"))
    assert (len(server.realtime), server.asked) == (10, [])


# -- arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"mode": "later"}, "mode"),
        ({"deadline": 5.0}, "deadline"),
        ({"most_lines": 0}, "most_lines"),
        ({"most_bytes": True}, "most_bytes"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, options: dict[str, Any], key: str) -> None:
    server = ServerOfBatches()
    with pytest.raises(ConfigError) as caught:
        batch(server, tmp_path, PROMPTS, **options)
    assert caught.value.key == key
    assert server.asked == []


def test_batches_need_a_home(tmp_path: Path) -> None:
    async def job(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="need a place"):
            client.batch(PROMPTS)

    talk(ServerOfBatches(), None, job)


def test_a_prompt_that_is_none_is_an_error_of_its_own(tmp_path: Path) -> None:
    replies = batch(ServerOfBatches(), tmp_path, ["salt", 3, "sugar"])  # type: ignore[list-item]
    assert [type(reply.error) for reply in replies] == [type(None), ConfigError, type(None)]
