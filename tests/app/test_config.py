from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenire.app.config import (
    ChatPipeline,
    ClassifyPipeline,
    DocumentsPipeline,
    check_runnable,
    ingest_config,
    load_config,
    parse_size,
)
from tenire.app.config_tables import EngineSettings
from tenire.errors import ConfigError

CONTRACT = """
[tenire]
home = ".tenire"
memory = "1GiB"
cpu = 3
budget_usd = 2.0
engine = "local"

[quotas.main]
base_url = "http://127.0.0.1:8000/v1"
api_key_env = "OPENAI_API_KEY"
rpm = 500
tpm = 200000
max_concurrency = 64
[quotas.main.price]
input_usd_per_mtok = 0.15
output_usd_per_mtok = 0.60

[pipelines.manual]
recipe = "documents"
source = ["docs", "notes/**/*.md"]
embedder = "auto"
store = "lancedb"
weight = 2
priority = "normal"

[pipelines.summaries]
recipe = "chat"
source = "rows.jsonl"
quota = "main"
model = "gpt-4o-mini"
prompt = "Summarise in one sentence: {text}"
max_output_tokens = 80
timeout_s = 60
output = "summaries.jsonl"
after = ["manual"]

[pipelines.topics]
recipe = "classify"
train = "labelled.jsonl"
test = "test.jsonl"
source = "rows.jsonl"
embedder = "static"
seed = 1
output = "labels.jsonl"
"""


def write(folder: Path, text: str | bytes, name: str = "tenire.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> ConfigError:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert caught.value.file == str(path)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(folder)) == ["tenire.toml"], "a refused configuration leaves no trace"
    return caught.value


def test_the_configuration_of_the_contract_is_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, CONTRACT))
    assert config.tenire.home == tmp_path / ".tenire"
    assert (config.tenire.memory, config.tenire.cpu, config.tenire.budget_usd) == (1 << 30, 3, 2.0)
    assert list(config.pipelines) == ["manual", "summaries", "topics"]
    manual, summaries, topics = config.pipelines.values()
    assert isinstance(manual, DocumentsPipeline)
    assert isinstance(summaries, ChatPipeline)
    assert isinstance(topics, ClassifyPipeline)
    assert manual.source == ("docs", "notes/**/*.md")
    assert (manual.weight, manual.priority, manual.recipe) == (2.0, "normal", "documents")
    assert summaries.after == ("manual",)
    assert topics.test == ("test.jsonl",)
    price = config.quotas["main"].price
    assert price is not None
    assert price.output_usd_per_mtok == 0.6
    assert config.base == tmp_path


def test_one_line_is_a_pipeline_and_everything_else_has_a_default(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[pipelines.docs]\nsource = "docs"'))
    docs = config.pipelines["docs"]
    assert isinstance(docs, DocumentsPipeline)
    assert (docs.embedder, docs.store, docs.weight, docs.priority, docs.after) == ("auto", "lancedb", 1.0, "normal", ())
    assert config.tenire.home == tmp_path / ".tenire"
    assert config.tenire.cpu is None


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", '[tenire]\nhome = "data/home"\n[pipelines.a]\nsource = "x"\nstore = "./vectors"')
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("sub/tenire.toml"))
    assert config.tenire.home == tmp_path / "sub" / "data" / "home"
    assert config.base == tmp_path / "sub"
    docs = config.pipelines["a"]
    assert isinstance(docs, DocumentsPipeline)
    assert docs.store == str(tmp_path / "sub" / "vectors")


def test_a_home_of_the_caller_goes_before_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, '[tenire]\nhome = "a"\n[pipelines.a]\nsource = "x"')
    assert load_config(path, home=tmp_path / "b").tenire.home == tmp_path / "b"


DOCS = '[pipelines.docs]\nsource = "docs"\n'
QUOTA = '[quotas.main]\nbase_url = "http://localhost/v1"\n'
CHAT = 'recipe = "chat"\nsource = "r.jsonl"\nquota = "main"\nmodel = "m"\nprompt = "p"\n'


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[tenire]\ncpu = 0\n" + DOCS, "tenire.cpu", ["positive whole number", "got 0"]),
        ("[tenire]\ncpu = true\n" + DOCS, "tenire.cpu", ["got true"]),
        ('[tenire]\ncpu = "3"\n' + DOCS, "tenire.cpu", ['got "3"']),
        ("[tenire]\ncpu = 1.5\n" + DOCS, "tenire.cpu", ["got 1.5"]),
        ('[tenire]\nmemory = "lots"\n' + DOCS, "tenire.memory", ['"1GiB"', 'got "lots"']),
        ("[tenire]\nmemory = -5\n" + DOCS, "tenire.memory", ["got -5"]),
        ("[tenire]\nbudget_usd = nan\n" + DOCS, "tenire.budget_usd", ["got nan"]),
        ("[tenire]\nbudget_usd = inf\n" + DOCS, "tenire.budget_usd", ["got inf"]),
        ("[tenire]\nbudget_usd = -1\n" + DOCS, "tenire.budget_usd", ["got -1"]),
        ('[tenire]\nengine = "rey"\n' + DOCS, "tenire.engine", ['"local"', 'did you mean "ray"']),
        ('[tenire]\nhome = ""\n' + DOCS, "tenire.home", ['got ""']),
        ("tenire = 3\n" + DOCS, "tenire", ["must be a table", "got 3"]),
        (QUOTA + "rpm = -1\n" + DOCS, "quotas.main.rpm", ["positive whole number", "got -1"]),
        (QUOTA + "tpm = 0\n" + DOCS, "quotas.main.tpm", ["got 0"]),
        (QUOTA + "price = 1\n" + DOCS, "quotas.main.price", ["must be a table"]),
        (
            QUOTA + "[quotas.main.price]\ninput_usd_per_mtok = -1\n" + DOCS,
            "quotas.main.price.input_usd_per_mtok",
            ["got -1"],
        ),
        (
            QUOTA + "[quotas.main.price]\ninput_usd_per_mtok = 1\n" + DOCS,
            "quotas.main.price.output_usd_per_mtok",
            ["missing"],
        ),
        ('[quotas.main]\nbase_url = "ftp://x"\n' + DOCS, "quotas.main.base_url", ["http://", 'got "ftp://x"']),
        ("[quotas.main]\nrpm = 3\n" + DOCS, "quotas.main.base_url", ["is missing"]),
        (DOCS + "weight = 0", "pipelines.docs.weight", ["above 0", "got 0"]),
        (DOCS + "weight = true", "pipelines.docs.weight", ["got true"]),
        (DOCS + 'priority = "urgent"', "pipelines.docs.priority", ['"critical"', '"idle"', 'got "urgent"']),
        (DOCS + 'priority = "hihg"', "pipelines.docs.priority", ['did you mean "high"']),
        (DOCS + 'embedder = "minilmm"', "pipelines.docs.embedder", ['did you mean "minilm"']),
        (DOCS + 'store = "lancdb"', "pipelines.docs.store", ['did you mean "lancedb"']),
        (DOCS + 'embeder = "auto"', "pipelines.docs.embeder", ["unknown key", '"auto"', 'did you mean "embedder"']),
        (DOCS + 'prompt = "x"', "pipelines.docs.prompt", ['is a key of recipe = "chat"']),
        (DOCS + 'recipe = "document"', "pipelines.docs.recipe", ['did you mean "documents"']),
        (DOCS + "after = 3", "pipelines.docs.after", ["list of names", "got 3"]),
        (DOCS + 'after = ["dosc"]', "pipelines.docs.after", ['got "dosc"', 'did you mean "docs"']),
        (DOCS + 'quota = "mian"\n' + QUOTA, "pipelines.docs.quota", ['did you mean "main"']),
        (DOCS + 'embedder = "openai:m"', "pipelines.docs.quota", ["is missing", '"openai:m"']),
        ("[pipelines.docs]\nsource = []", "pipelines.docs.source", ["got []"]),
        ('[pipelines.docs]\nsource = ""', "pipelines.docs.source", ['got ""']),
        ('[pipelines.docs]\nsource = ["a", 3]', "pipelines.docs.source", ['got ["a", 3]']),
        ("[pipelines.docs]\nweight = 1", "pipelines.docs.source", ["is missing"]),
        ("[pipelines]\ndocs = 3", "pipelines.docs", ["must be a table", "got 3"]),
        ("[pipelines]", "pipelines", ["no pipeline"]),
        ("", "pipelines", ["no pipeline"]),
        ("[pipeline.docs]\n", "pipeline", ["unknown key", 'did you mean "pipelines"']),
        ('[pipelines."../x"]\nsource = "d"', "pipelines.../x", ['"../x"']),
        (f'[pipelines.a]\n{CHAT}output = "o"\ntimeout_s = 0\n' + QUOTA, "pipelines.a.timeout_s", ["got 0"]),
        (f'[pipelines.a]\n{CHAT}output = "o"\ncache = "no"\n' + QUOTA, "pipelines.a.cache", ['got "no"']),
        (f'[pipelines.a]\n{CHAT}output = "o"\nttl_s = -1\n' + QUOTA, "pipelines.a.ttl_s", ["0 or more", "got -1"]),
        (f'[pipelines.a]\n{CHAT}output = "o"\nstale_s = inf\n' + QUOTA, "pipelines.a.stale_s", ["got inf"]),
        (f'[pipelines.a]\n{CHAT}output = "o"\nttl = 60\n' + QUOTA, "pipelines.a.ttl", ['did you mean "ttl_s"']),
        (f"[pipelines.a]\n{CHAT}" + QUOTA, "pipelines.a.output", ["is missing"]),
        (f'[pipelines.a]\n{CHAT}output = "o"', "pipelines.a.quota", ["must name a quota", 'got "main"']),
        (
            '[pipelines.a]\nrecipe = "classify"\ntrain = "t"\nseed = -1',
            "pipelines.a.seed",
            ["got -1"],
        ),
        ('[pipelines.a]\nrecipe = "classify"\ntrain = "t"\nsource = "s"', "pipelines.a.output", ["is missing"]),
    ],
)
def test_a_wrong_value_is_refused_with_file_key_value_and_what_was_expected(
    tmp_path: Path, text: str, key: str, words: list[str]
) -> None:
    error = refused(tmp_path, text)
    assert error.key == key
    message = str(error)
    for word in [key if "../" not in key else "pipelines", *words]:
        assert word in message


def test_an_unknown_key_lists_the_valid_ones_in_its_hint(tmp_path: Path) -> None:
    error = refused(tmp_path, DOCS + "weigth = 3")
    assert '"weight"' in str(error)
    assert error.hint is not None
    assert "embedder" in error.hint
    assert "recipe" in error.hint


def test_two_pipelines_writing_one_output_are_refused_even_under_two_spellings(tmp_path: Path) -> None:
    one = f'[pipelines.a]\n{CHAT}output = "out.jsonl"\n'
    two = f'[pipelines.b]\n{CHAT}output = "./x/../out.jsonl"\n'
    error = refused(tmp_path, one + two + QUOTA)
    assert error.key == "pipelines.b.output"
    assert "pipelines.a" in str(error)


def test_an_output_that_is_its_own_source_is_refused(tmp_path: Path) -> None:
    assert "own source" in str(refused(tmp_path, f'[pipelines.a]\n{CHAT}output = "r.jsonl"\n' + QUOTA))


def test_a_cycle_is_reported_as_the_cycle(tmp_path: Path) -> None:
    text = "".join(
        f'[pipelines.{name}]\nsource = "d"\nafter = ["{after}"]\n'
        for name, after in [("start", "a"), ("a", "b"), ("b", "c"), ("c", "a")]
    )
    assert "a -> b -> c -> a" in str(refused(tmp_path, text))
    assert "x -> x" in str(refused(tmp_path, '[pipelines.x]\nsource = "d"\nafter = "x"'))


def test_a_diamond_is_not_a_cycle_and_a_long_chain_is_read(tmp_path: Path) -> None:
    edges = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]} | {
        f"n{i}": [f"n{i - 1}"] if i else [] for i in range(2000)
    }
    text = "".join(f'[pipelines.{name}]\nsource = "d"\nafter = {after}\n' for name, after in reversed(edges.items()))
    assert len(load_config(write(tmp_path, text)).pipelines) == len(edges)


@pytest.mark.parametrize("field", ['store = "./other"', 'embedder = "static"'])
def test_pipelines_of_one_home_share_one_store_and_one_embedder(tmp_path: Path, field: str) -> None:
    first = '[pipelines.a]\nsource = "a"\nembedder = "minilm"\n'
    error = refused(tmp_path, first + '[pipelines.b]\nsource = "b"\n' + field)
    assert "pipelines.a" in str(error)


def test_a_key_that_was_pasted_into_the_file_is_not_repeated(tmp_path: Path) -> None:
    secret = "sk-abcdef0123456789"
    error = refused(tmp_path, QUOTA + f'api_key_env = "{secret}"\n' + DOCS)
    assert "not the key itself" in str(error)
    assert secret not in str(error)
    error = refused(tmp_path, QUOTA + f'api_key = "{secret}"\n' + DOCS)
    assert "api_key_env" in str(error)
    assert secret not in str(error)


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    for address in ("mysql://me:hunter2@host/db", "postgresql://me:hun@ter2@host/db"):
        error = refused(tmp_path, DOCS + f'store = "{address}"')
        assert "must look like postgresql://" in str(error)
        assert "%40" in (error.hint or "")
        assert "ter2" not in f"{error} {error.hint}"
    two = "".join(
        f'[pipelines.{name}]\nsource = "d"\nstore = "postgresql://{name}:hunter2@host/db?password=hunter2"\n'
        for name in "ab"
    )
    assert "hunter2" not in str(refused(tmp_path, two))


def test_broken_toml_names_line_and_column(tmp_path: Path) -> None:
    assert "line 2, column 7" in str(refused(tmp_path, "[tenire]\ncpu = = 3\n"))
    assert "line 3, column" in str(refused(tmp_path, '[tenire]\nhome = "x"\nx = """unfinished'))


def test_a_number_of_ten_thousand_digits_and_deep_nesting_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "not valid TOML" in str(refused(tmp_path, "x = " + "9" * 10_000))
    refused(tmp_path, "x = " + "[" * 100_000)


def test_a_file_that_is_not_utf8_names_the_place_of_the_byte(tmp_path: Path) -> None:
    message = str(refused(tmp_path, b'[tenire]\nhome = "caf\xe9"\n'))
    assert "line 2, column 12" in message
    assert "0xe9" in message


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, b'\xef\xbb\xbf[pipelines.a]\r\nsource = "x"\r\n'))
    assert list(config.pipelines) == ["a"]


def test_a_missing_file_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_config(tmp_path / "tenire.toml")
    assert caught.value.hint is not None
    assert "tenire ingest" in caught.value.hint


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("written", "count"),
    [("1GiB", 1 << 30), ("500MB", 500_000_000), ("1.5 kib", 1536), ("12", 12), (12, 12), ("7b", 7)],
)
def test_sizes_are_read_with_their_units(written: str | int, count: int) -> None:
    assert parse_size(written) == count


@pytest.mark.parametrize("written", ["", "GiB", "1 G", "-1MB", "1e9", True, 1.5, None, [], "1ib", "9" * 400])
def test_what_is_not_a_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(written)


def test_ingest_makes_one_pipeline_named_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = ingest_config(["docs"], home=Path("h"), store="vectors", embedder="static")
    pipeline = config.pipelines["ingest"]
    assert isinstance(pipeline, DocumentsPipeline)
    assert (pipeline.source, pipeline.embedder, pipeline.store) == (("docs",), "static", str(tmp_path / "vectors"))
    assert config.tenire.home == tmp_path / "h"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"paths": []}, "PATH"),
        ({"paths": [""]}, "PATH"),
        ({"paths": ["a"], "embedder": "minilmm"}, "--embedder"),
        ({"paths": ["a"], "store": ""}, "--store"),
    ],
)
def test_ingest_names_the_option_that_is_wrong(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ingest_config(home=Path("h"), **arguments)  # type: ignore[arg-type]
    assert caught.value.key == key


def test_only_selects_pipelines_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    text = "".join(f'[pipelines.{name}]\nsource = "d"\n' for name in "abc")
    config = load_config(write(tmp_path, text))
    assert check_runnable(config) == ("a", "b", "c")
    assert check_runnable(config, ["c", "a"]) == ("a", "c")
    with pytest.raises(ConfigError, match='no pipeline is named "d"'):
        check_runnable(config, ["d"])


def test_all_recipes_run_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "notes").mkdir()
    config = load_config(write(tmp_path, CONTRACT))
    assert check_runnable(config) == ("manual", "summaries", "topics")
    assert check_runnable(config, ["manual", "summaries"]) == ("manual", "summaries")


@pytest.mark.parametrize("field", ["prompt", "system"])
def test_a_template_is_checked_when_it_is_read(tmp_path: Path, field: str) -> None:
    chat = CHAT.replace('prompt = "p"', 'prompt = "{a} {{b}}"') + 'output = "o.jsonl"\n'
    load_config(write(tmp_path, f"[pipelines.a]\n{chat}{QUOTA}"))
    broken = chat.replace("{a} {{b}}", "{a} {b") if field == "prompt" else chat + 'system = "{a} {b"\n'
    error = refused(tmp_path, f"[pipelines.a]\n{broken}{QUOTA}")
    assert error.key == f"pipelines.a.{field}"
    assert "a single { at character 5" in str(error)


def test_a_source_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="docs"):
        check_runnable(load_config(write(tmp_path, DOCS)))
    assert os.listdir(tmp_path) == ["tenire.toml"]


def test_an_engine_is_a_word_or_a_table(tmp_path: Path) -> None:
    def engine(written: str) -> EngineSettings:
        return load_config(write(tmp_path, f"[tenire]\n{written}\n" + DOCS)).tenire.engine

    assert engine("") == EngineSettings("local", None)
    assert engine('engine = "ray"') == engine('engine = { kind = "ray" }') == EngineSettings("ray", None)
    assert engine('engine = { kind = "ray", address = "auto" }') == EngineSettings("ray", "auto")
    assert engine('engine = { kind = "ray", address = "10.0.0.1:6379" }') == EngineSettings("ray", "10.0.0.1:6379")


@pytest.mark.parametrize(
    "written",
    ['{ kind = "ray", address = "ray://10.0.0.1:10001" }', '{ kind = "ray", address = "10.0.0.1" }',
     '{ address = "auto" }', '{ kind = "rey" }', '{ kind = "ray", port = 1 }', "7"],
)  # fmt: skip
def test_an_engine_that_makes_no_sense_is_refused_by_its_key(tmp_path: Path, written: str) -> None:
    error = refused(tmp_path, f"[tenire]\nengine = {written}\n" + DOCS)
    assert error.key == "tenire.engine"
    assert 'one of "local", "ray", or { kind = "ray", address' in str(error)


def test_only_a_model_on_this_machine_needs_no_quota(tmp_path: Path) -> None:
    chat = CHAT.replace('quota = "main"\n', "") + 'output = "o.jsonl"\n'
    error = refused(tmp_path, f"[pipelines.a]\n{chat}")
    assert error.key == "pipelines.a.quota"
    assert 'model = "m" needs the name of a quota' in str(error)
    for model in ("local", "local:x.gguf"):
        local = chat.replace('model = "m"', f'model = "{model}"')
        assert load_config(write(tmp_path, f"[pipelines.a]\n{local}")).pipelines["a"].quota is None


def test_an_embedder_of_a_server_needs_a_quota(tmp_path: Path) -> None:
    error = refused(tmp_path, DOCS + 'embedder = "openai:m"\n' + QUOTA)
    assert error.key == "pipelines.docs.quota"
    (tmp_path / "docs").mkdir()
    config = load_config(write(tmp_path, DOCS + 'embedder = "openai:m"\nquota = "main"\n' + QUOTA))
    assert check_runnable(config) == ("docs",)
