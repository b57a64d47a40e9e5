"""``tenire run --estimate``, which reads files and asks nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tenire.llm.prices import AS_OF
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.spending import Charge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.cli.conftest import Run

    Tenire = Callable[..., Run]

CONFIG = """
[quotas.listed]
base_url = "http://127.0.0.1:1/v1"

[quotas.own]
base_url = "http://127.0.0.1:1/v1"

[quotas.own.price]
input_usd_per_mtok = 1
output_usd_per_mtok = 1
"""


def write(folder: Path, **pipelines: tuple[str, str]) -> None:
    rows = [{"id": number, "text": f"Row {number}"} for number in range(5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = [
        f'[pipelines.{name}]\nrecipe = "chat"\nsource = "rows.jsonl"\nquota = "{quota}"\nmodel = "{model}"\n'
        f'prompt = "Sum up {{text}}"\nmax_output_tokens = 10\noutput = "{name}.jsonl"\n'
        for name, (quota, model) in pipelines.items()
    ]
    (folder / "tenire.toml").write_text(CONFIG + "\n".join(tables))


def test_its_json_has_each_pipeline_and_the_sum(tenire: Tenire, tmp_path: Path) -> None:
    write(tmp_path, a=("listed", "gpt-4o-mini"), b=("own", "gpt-4o"))
    told = tenire("run", "--estimate", "--json").last
    assert set(told) == {
        "estimate", "not_estimated", "cost_usd", "needed_usd", "budget_usd", "spent_usd", "built_in_prices",
    }  # fmt: skip
    assert told["estimate"]["a"]["calls"] == 5
    assert told["cost_usd"] == told["estimate"]["a"]["cost_usd"] + told["estimate"]["b"]["cost_usd"] > 0
    assert told["built_in_prices"] == {"as_of": AS_OF.isoformat(), "models": ["gpt-4o-mini"]}


def test_it_says_of_which_day_built_in_prices_are(tenire: Tenire, tmp_path: Path) -> None:
    write(tmp_path, a=("listed", "gpt-4o-mini"), b=("listed", "gpt-4o"), c=("own", "gpt-4.1"), d=("listed", "mine"))
    told = tenire("run", "--estimate").out
    assert f"prices of gpt-4o, gpt-4o-mini as listed on {AS_OF}; where they have changed, give [quotas." in told
    assert "price not known" in told


def test_of_prices_of_your_own_it_says_no_day(tenire: Tenire, tmp_path: Path) -> None:
    write(tmp_path, c=("own", "gpt-4.1"))
    assert "as listed" not in tenire("run", "--estimate").out


def test_an_embedder_on_a_server_is_named_and_is_not_free(tenire: Tenire, tmp_path: Path) -> None:
    write(tmp_path, a=("listed", "gpt-4o-mini"))
    settings = 'embedder = "openai:text-embedding-3-large"\nquota = "listed"\n'
    (tmp_path / "labelled.jsonl").write_text('{"text": "good", "label": "yes"}\n')
    with (tmp_path / "tenire.toml").open("a") as file:
        file.write(f'[pipelines.docs]\nsource = "."\n{settings}')
        file.write('[pipelines.more]\nsource = "."\n')  # a home has one embedder
        file.write(f'[pipelines.sort]\nrecipe = "classify"\ntrain = "labelled.jsonl"\n{settings}')
        file.write('[pipelines.count]\nrecipe = "classify"\ntrain = "labelled.jsonl"\nfeatures = "tfidf"\n')
    told = tenire("run", "--estimate", "--json").last
    assert told["cost_usd"] is told["needed_usd"] is None
    assert told["estimate"]["a"]["cost_usd"] > 0
    assert told["not_estimated"] == dict.fromkeys(("docs", "more", "sort"), "openai:text-embedding-3-large")
    said = tenire("run", "--estimate", "--only", "docs").out
    assert "not estimated: docs, which embeds with openai:text-embedding-3-large" in said
    assert "what it costs in all is not known" in said
    assert "costs nothing" not in said
    assert "no pipeline calls a model: it costs nothing" in tenire("run", "--estimate", "--only", "count").out


def test_documents_that_go_by_the_embedder_of_their_home_are_named_too(tenire: Tenire, tmp_path: Path) -> None:
    with Ledger.open(Home(tmp_path / ".tenire")) as ledger:
        ledger.remember("embedder", "openai:mine")
    (tmp_path / "tenire.toml").write_text('[pipelines.docs]\nsource = "."\n')
    assert tenire("run", "--estimate", "--json").last["not_estimated"] == {"docs": "openai:mine"}


def test_it_counts_exactly_where_the_tokeniser_is_at_hand(
    tenire: Tenire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(models: Iterable[str]) -> dict[str, Callable[[str], float]]:
        return dict.fromkeys(models, lambda text: 100.0 * len(text.split()))

    write(tmp_path, a=("listed", "gpt-4o-mini"))
    monkeypatch.setattr("tenire.app.estimate.load_tokenisers", load)
    assert tenire("run", "--estimate", "--json").last["estimate"]["a"]["input_tokens"] == 5 * (400 + 7)


def test_with_models_that_stand_in_it_says_what_the_dearest_costs(tenire: Tenire, tmp_path: Path) -> None:
    def told(quota: str, model: str, **settings: object) -> dict[str, object]:
        write(tmp_path, a=(quota, model))
        with (tmp_path / "tenire.toml").open("a") as file:
            file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        last: dict[str, object] = tenire("run", "--estimate", "--json").last
        return last

    cheap, dear = (told("listed", model)["cost_usd"] for model in ("gpt-4o-mini", "gpt-4o"))
    assert isinstance(cheap, float)
    assert isinstance(dear, float)
    assert cheap < dear
    both = told("listed", "gpt-4o-mini", fallback=["gpt-4o"])
    assert both["cost_usd"] == dear
    assert both["built_in_prices"] == {"as_of": AS_OF.isoformat(), "models": ["gpt-4o", "gpt-4o-mini"]}
    assert told("listed", "gpt-4o", fallback=["gpt-4o-mini"])["cost_usd"] == dear
    assert told("listed", "gpt-4o-mini", fallback=["gpt-4o"], mode="batch")["cost_usd"] == dear  # it is asked at once
    assert told("listed", "gpt-4o-mini", fallback=["mine"])["cost_usd"] is None
    own = told("own", "mine", fallback=["gpt-4o", "yours"])
    assert own["built_in_prices"] == {"as_of": AS_OF.isoformat(), "models": ["gpt-4o"]}


def test_it_says_what_budget_it_takes_where_the_one_that_there_is_can_stop_the_run(
    tenire: Tenire, tmp_path: Path
) -> None:
    def estimated(budget: float, *words: str) -> Run:
        (tmp_path / "tenire.toml").write_text(f"[tenire]\nbudget_usd = {budget!r}\n{file}")
        return tenire("run", "--estimate", *words)

    write(tmp_path, a=("own", "gpt-4o"))
    file = (tmp_path / "tenire.toml").read_text()
    told = estimated(1.0, "--json").last
    assert told["cost_usd"] < told["needed_usd"] < 2 * told["cost_usd"]
    assert "can stop the run" not in estimated(told["needed_usd"]).out
    said = " ".join(estimated(told["cost_usd"]).out.split())
    assert "this budget can stop the run: it takes $0.00" in said
    assert told["cost_usd"] < told["needed_usd"] <= float(said.partition("it takes $")[2].partition(",")[0])


def test_it_tells_the_budget_of_a_pipeline_and_what_it_takes(tenire: Tenire, tmp_path: Path) -> None:
    write(tmp_path, a=("own", "gpt-4o"), b=("own", "gpt-4o"))
    file = (tmp_path / "tenire.toml").read_text()
    with Ledger.open(Home(tmp_path / ".tenire")) as ledger:
        ledger.spending.add([Charge("a", "gpt-4o", 10, 0, 5, 0, 20_000_000_000, 0)])

    def estimated(budget: float, *words: str) -> Run:
        (tmp_path / "tenire.toml").write_text(file.replace("[pipelines.a]", f"[pipelines.a]\nbudget_usd = {budget!r}"))
        return tenire("run", "--estimate", *words)

    told = estimated(1.0, "--json").last["estimate"]
    assert (told["a"]["budget_usd"], told["a"]["spent_usd"]) == (1.0, 0.02)
    assert (told["b"]["budget_usd"], told["b"]["spent_usd"]) == (None, 0.0)
    assert 0.02 + told["a"]["cost_usd"] < told["a"]["needed_usd"] < 0.02 + 2 * told["a"]["cost_usd"]
    assert told["b"]["needed_usd"] == pytest.approx(told["a"]["needed_usd"] - 0.02)
    enough = " ".join(estimated(1.0).out.split())
    assert "a has spent $0.020 of a budget of its own of $1.00" in enough
    assert "b has spent" not in enough
    assert "can stop" not in enough
    said = " ".join(estimated(0.02).out.split())
    assert "a has spent $0.020 of a budget of its own of $0.020, which can stop it: it takes $0.0" in said
    assert told["a"]["needed_usd"] <= float(said.partition("it takes $")[2].partition(",")[0])
    (tmp_path / "rows.jsonl").write_text("")
    assert "can stop" not in estimated(0.01).out  # nothing is left to ask
