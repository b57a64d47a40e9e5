from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from tenire.concurrency.pools.frames import dump
from tenire.concurrency.pools.jobs import PLAIN, RAISED
from tenire.concurrency.sendable import reference_to
from tenire.engines.ray_worker import RayWorker, machine, refusal, setup_here

if TYPE_CHECKING:
    from pathlib import Path


def parts_of(fn: object, *args: object) -> list[bytes]:
    return [reference_to(fn), *(bytes(part) for part in dump(args))]  # type: ignore[arg-type]


def test_a_worker_answers_as_a_worker_process_does() -> None:
    worker = RayWorker()
    tag, made = worker.run(*parts_of(divmod, 7, 2))
    assert (tag, pickle.loads(made[0])) == (PLAIN, (3, 1))
    tag, made = worker.run(*parts_of(divmod, 7, 0))
    assert tag == RAISED
    assert isinstance(pickle.loads(made[0])[0], ZeroDivisionError)


def test_a_node_that_sees_another_home_or_none_is_refused_by_name(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    assert refusal(None, "host") is None
    assert "does not see the home" in (refusal((str(witness), "word"), "host") or "")
    witness.write_text("other", encoding="ascii")
    assert "another one" in (refusal((str(witness), "word"), "host") or "")
    witness.write_text("word", encoding="ascii")
    assert refusal((str(witness), "word"), "host") is None


def test_what_a_worker_gets_ready_with_can_be_sent() -> None:
    setup = setup_here(background=True)
    assert pickle.loads(pickle.dumps(setup)) == setup
    assert setup.folder
    assert setup.path
    assert machine() == machine() != ""
