"""What all processes of a user have spent of each quota, and what they were lent of it."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from tenire.core.quota_loans import LOAN_S
from tenire.core.slot_loans import SILENT_S
from tenire.errors import StoreError
from tenire.storage.quota_file import Ask, Loan, QuotaFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT, WINDOW = 1000, 60.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[QuotaFile]:
    opened = QuotaFile(tmp_path)
    yield opened
    opened.close()


def ask(
    file: QuotaFile,
    who: str,
    now: float,
    *,
    lacking: int = 0,
    spent: list[tuple[float, int]] | None = None,
    keep: int = 0,
    least: int = 1,
    window: float | None = WINDOW,
    most: int | None = None,
    first: int = 0,
    quota: str = "q",
) -> Loan:
    wish = Ask(LIMIT, window, spent or [], keep, lacking, least, most, first)
    return file.renew(quota, who, {"tokens": wish}, now=now)["tokens"]


def test_what_is_lent_counts_as_spent(file: QuotaFile) -> None:
    assert ask(file, "a", 0.0, lacking=700).more == 700
    assert ask(file, "b", 0.5, lacking=700).more == 300


def any_limit(file: QuotaFile, who: str, now: float, lacking: int, *, least: int = 1) -> Loan:
    """Ask without knowing a limit."""
    return file.renew("q", who, {"tokens": Ask(None, WINDOW, (), 0, lacking, least)}, now=now)["tokens"]


def test_who_has_no_limit_is_counted_and_kept_within_that_of_others(file: QuotaFile) -> None:
    free = any_limit(file, "a", 0.0, 400)
    assert (free.more, free.part) == (400, None)
    assert ask(file, "b", 0.5, lacking=1000).more == 600
    assert any_limit(file, "c", 0.6, 1).more == 0
    later = any_limit(file, "a", 200.0, 2000)  # nobody has had anything for a while
    assert (later.more, later.part) == (1000, 1000)
    assert any_limit(file, "a", 400.0, 5000, least=5000).more == 5000  # it would wait for ever
    assert any_limit(file, "c", 400.1, 1).more == 0
    assert ask(file, "b", 600.0, lacking=1).more == 1
    assert any_limit(file, "a", 4100.0, 2000).more == 1000
    assert any_limit(file, "a", 4300.0, 2000).more == 2000, "a limit that was named long ago is none any more"


def test_the_limit_that_was_named_last_holds_for_who_has_none(file: QuotaFile) -> None:
    ask(file, "b", 0.0, lacking=1)
    file.renew("q", "b", {"tokens": Ask(300, WINDOW)}, now=1.0)
    assert any_limit(file, "a", 100.0, 2000).more == 300


def test_what_is_given_back_can_be_had_by_others(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=700)
    ask(file, "a", 0.5, spent=[(0.2, 100)])
    assert ask(file, "b", 0.6, lacking=1000).more == 900


def test_what_was_said_too_much_is_had_again(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000)
    ask(file, "a", 1.0, spent=[(0.5, 1000)])
    assert ask(file, "a", 1.1, spent=[(0.5, -300)], lacking=1000).more == 300


def test_what_is_spent_is_back_after_the_window(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000)
    ask(file, "a", 1.0, spent=[(0.5, 600), (0.9, 400)])
    assert ask(file, "b", 60.4, lacking=1000).more == 0
    assert ask(file, "b", 60.5, lacking=1000).more == 600
    assert ask(file, "b", 60.95, keep=600, lacking=400).more == 400


def test_a_loan_that_was_never_accounted_for_wears_off(file: QuotaFile) -> None:
    loan = ask(file, "killed", 0.0, lacking=1000)
    assert loan.until == LOAN_S
    assert ask(file, "b", LOAN_S + WINDOW - 0.1, lacking=10).more == 0
    assert ask(file, "b", LOAN_S + WINDOW, lacking=10).more == 10


def test_who_gets_nothing_is_told_when_to_ask_again(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000)
    ask(file, "a", 1.0, spent=[(0.5, 600), (0.9, 400)])
    assert ask(file, "b", 2.0, lacking=500, least=500).retry_at == 60.5
    assert ask(file, "b", 2.0, lacking=700, least=700).retry_at == 60.9


def test_the_first_in_a_row_is_told_when_there_may_be_enough_for_it(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000)
    ask(file, "a", 1.0, spent=[(0.5, 600), (0.9, 400)])
    assert ask(file, "b", 2.0, lacking=900, first=500).first_at == 60.5
    assert ask(file, "b", 2.0, lacking=900, first=700).first_at == 60.9
    assert ask(file, "b", 2.0, lacking=900).first_at == 0.0
    assert ask(file, "b", 61.0, lacking=900, first=700).first_at == 0.0, "it has them"
    # b has used 900, and c, which has used nothing, comes first.
    assert ask(file, "c", 61.5, lacking=90, least=90).more == 90
    assert ask(file, "c", 61.6, keep=90, lacking=80, least=80).more == 0
    assert ask(file, "b", 62.0, spent=[(61.0, 400), (61.2, 500)], lacking=500, first=330).first_at == 121.0
    assert ask(file, "b", 62.0, lacking=500, first=331).first_at == 121.2


def test_a_loan_of_another_may_come_back_early(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000)
    assert ask(file, "b", 0.5, lacking=10).retry_at == LOAN_S


def test_two_that_want_all_get_half_each(file: QuotaFile) -> None:
    rng = random.Random(3)
    got = {"a": 0, "b": 0}
    spent: dict[str, list[tuple[float, int]]] = {"a": [], "b": []}
    now = 0.0
    while now < 300.0:
        now += rng.uniform(0.05, 0.3)
        who = rng.choice("ab")
        more = ask(file, who, now, lacking=5000, most=50, spent=spent[who]).more
        spent[who] = [(now, more)] if more else []
        if now > 120.0:
            got[who] += more
    whole = sum(got.values())
    assert whole >= 0.97 * LIMIT * 180 / WINDOW
    assert abs(got["a"] - got["b"]) <= 0.05 * whole


def test_no_window_ever_holds_more_than_the_limit(file: QuotaFile) -> None:
    rng = random.Random(5)
    spent: dict[str, list[tuple[float, int]]] = {}
    held: dict[str, tuple[int, float]] = {}
    done: list[tuple[float, int]] = []
    names = ["a", "b", "c"]
    now = 0.0
    for _ in range(1500):
        now += rng.uniform(0.0, 0.2)
        who = rng.choice(names)
        kept, until = held.get(who, (0, 0.0))
        if now > until:
            kept = 0
        use = rng.randint(0, kept)
        if use:
            spent.setdefault(who, []).append((now, use))
            done.append((now, use))
        keep = rng.randint(0, kept - use)
        if rng.random() < 0.01:  # killed: a new one comes in its place, and knows nothing
            spent.pop(who, None)
            names[names.index(who)] = f"{who}'"
            continue
        loan = ask(file, who, now, lacking=rng.randint(0, 120), spent=spent.pop(who, []), keep=keep)
        held[who] = (keep + loan.more, loan.until)
    first = total = 0
    for at, amount in done:
        total += amount
        while done[first][0] <= at - WINDOW:
            total -= done[first][1]
            first += 1
        assert total <= LIMIT


def test_who_takes_little_at_a_time_still_has_its_share_kept(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=5000, most=10)
    assert ask(file, "b", 0.1, lacking=5000).more == 500


def test_quotas_are_apart(file: QuotaFile) -> None:
    assert ask(file, "a", 0.0, lacking=1000).more == 1000
    assert ask(file, "a", 0.0, lacking=1000, quota="other").more == 1000


def test_what_is_no_rate_comes_back_with_its_holder(tmp_path: Path) -> None:
    living = {1}
    file = QuotaFile(tmp_path, alive=lambda pid: bool(living))
    assert ask(file, "a", 0.0, lacking=1000, window=None).more == 1000
    assert ask(file, "b", 5.0, lacking=10, window=None).more == 0, "it is alive"
    living.clear()
    assert ask(file, "b", 5.0, lacking=10, window=None).more == 10, "it is gone"
    file.close()


def test_what_is_no_rate_is_lost_by_silence(file: QuotaFile) -> None:
    ask(file, "a", 0.0, lacking=1000, window=None)
    assert ask(file, "b", SILENT_S - 0.1, lacking=10, window=None).more == 0
    assert ask(file, "b", SILENT_S, lacking=10, window=None).more == 10


def test_a_frozen_metric_gives_nothing_until_its_time(file: QuotaFile) -> None:
    file.freeze("q", "tokens", 5.0, now=0.0)
    file.freeze("q", "tokens", 3.0, now=0.5)
    loan = ask(file, "a", 1.0, lacking=10)
    assert (loan.more, loan.retry_at, loan.frozen_until) == (0, 5.0, 5.0)
    assert ask(file, "a", 5.0, lacking=10).more == 10


def test_times_from_before_a_restart_become_now(file: QuotaFile) -> None:
    ask(file, "a", 90_000.0, lacking=400)
    ask(file, "a", 90_000.5, spent=[(90_000.1, 400)])
    ask(file, "b", 90_001.0, lacking=300)
    file.freeze("q", "tokens", 90_060.0, now=90_001.0)
    assert ask(file, "c", 10.0, lacking=1000).more == 300
    assert ask(file, "c", 10.5, keep=300).more == 0
    assert ask(file, "d", 10.0 + WINDOW + 0.1, lacking=600).more == 600, "a window later it is over"


def test_who_asks_late_changes_no_time_of_others(file: QuotaFile) -> None:
    ask(file, "a", 100.0, lacking=1000)
    ask(file, "a", 102.0, spent=[(101.9, 1000)])
    assert ask(file, "b", 100.0, lacking=1000).more == 0, "it waited two seconds for the file"
    assert ask(file, "b", 101.8 + WINDOW, lacking=1000).more == 0, "what was spent counts from when it was spent"
    assert ask(file, "b", 102.0 + WINDOW, lacking=1000).more == 1000


def test_processes_see_each_other(tmp_path: Path) -> None:
    one, other = QuotaFile(tmp_path), QuotaFile(tmp_path)
    assert ask(one, "a", 0.0, lacking=1000).more == 1000
    assert ask(other, "b", 0.1, lacking=10).more == 0
    assert other.used("q", "tokens", now=0.1, window=WINDOW) == 1000
    one.close()
    other.close()


def test_a_file_that_is_none_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "quotas-3.db").write_bytes(b"not a database, and longer than its header should be" * 40)
    file = QuotaFile(tmp_path)
    assert ask(file, "a", 0.0, lacking=10).more == 10
    assert (tmp_path / "quotas-3.db.damaged").exists()
    file.close()


def test_a_file_that_is_deleted_is_made_anew_by_all(tmp_path: Path) -> None:
    one, other = QuotaFile(tmp_path), QuotaFile(tmp_path)
    ask(one, "a", 0.0, lacking=10)
    ask(other, "b", 0.0, lacking=10)
    for part in tmp_path.glob("quotas-3.db*"):
        part.unlink()
    assert ask(one, "a", 0.5, lacking=1000).more == 1000
    assert ask(other, "b", 0.6, lacking=10).more == 0, "both have the same new file"
    one.close()
    other.close()


def test_a_directory_that_is_deleted_is_made_anew_by_all(tmp_path: Path) -> None:
    state = tmp_path / "state" / "tenire"
    one, other = QuotaFile(state), QuotaFile(state)
    ask(one, "a", 0.0, lacking=10)
    ask(other, "b", 0.0, lacking=10)
    shutil.rmtree(state.parent)
    assert ask(one, "a", 0.5, lacking=1000).more == 1000
    assert ask(other, "b", 0.6, lacking=10).more == 0, "both have the same new file"
    one.close()
    other.close()
    if os.name == "posix":
        assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_file_in_place_of_the_directory_is_said_and_survived(tmp_path: Path) -> None:
    state = tmp_path / "state"
    file = QuotaFile(state)
    ask(file, "a", 0.0, lacking=10)
    shutil.rmtree(state)
    state.write_text("somebody else's")
    with pytest.raises(StoreError, match=r"quotas-3\.db"):
        ask(file, "a", 0.5, lacking=10)
    state.unlink()
    assert ask(file, "a", 0.6, lacking=10).more == 10
    file.close()


def test_a_damaged_file_that_cannot_be_put_aside_says_so(tmp_path: Path) -> None:
    (tmp_path / "quotas-3.db").write_bytes(b"not a database, and longer than its header should be" * 40)
    (tmp_path / "quotas-3.db.damaged").mkdir()
    file = QuotaFile(tmp_path)
    with pytest.raises(StoreError, match=r"quotas-3\.db"):
        ask(file, "a", 0.0, lacking=10)
    file.close()


def test_a_file_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "quotas-3.db").mkdir()
    file = QuotaFile(tmp_path)
    with pytest.raises(StoreError, match=r"quotas-3\.db"):
        ask(file, "a", 0.0, lacking=10)
    file.close()


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    file = QuotaFile(tmp_path)
    ask(file, "a", 0.0, lacking=10)
    with pytest.raises(AttributeError):
        file.renew("q", "a", {"tokens": Ask(LIMIT, WINDOW, [(0.5, 10)]), "broken": None}, now=1.0)  # type: ignore[dict-item]
    with sqlite3.connect(tmp_path / "quotas-3.db") as connection:
        assert connection.execute("SELECT count(*) FROM spent").fetchone()[0] == 0
    connection.close()
    file.close()
