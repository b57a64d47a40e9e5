"""The settings of a configuration file, table by table.

The annotations are the reference: each key's type is what the settings hold,
its ``Rule`` says what the file may say. ``config_reading`` walks them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from tenire.app.config_models import ClassifyPipeline, PredictPipeline
from tenire.app.config_tables import (
    EMBEDDER,
    ONE_PATH,
    POSITIVE,
    After,
    DocumentSources,
    EmbedderName,
    EngineSettings,
    ListSettings,
    PriorityName,
    QuerySettings,
    RowSources,
    RowsSettings,
    Table,
    Weight,
)
from tenire.app.config_values import (
    amount,
    choice,
    choice_or_table,
    limit,
    line_share,
    names,
    pattern,
    share,
    size,
    text,
    truth,
    whole,
    words,
)
from tenire.pipeline.named_functions import NAMED_FUNCTION

__all__ = [
    "EMBEDDER",
    "RECIPES",
    "ChatPipeline",
    "ClassifyPipeline",
    "Config",
    "DocumentsPipeline",
    "ListSettings",
    "PipelineSettings",
    "PredictPipeline",
    "PriceSettings",
    "PythonDocuments",
    "PythonStages",
    "QualitySettings",
    "QuerySettings",
    "QuotaSettings",
    "RowsSettings",
    "StagesPipeline",
    "TenireSettings",
    "ValidateSettings",
]


_MODEL = text("the name of a model")
_SECONDS_FROM_0 = "a number of seconds, 0 or more"
STAGES = names('a list of functions, as ["module:function"]', NAMED_FUNCTION)


class TenireSettings(Table, frozen=True, kw_only=True):
    """``[tenire]``: what all pipelines share.

    Attributes:
        home: Absolute path of the home directory.
        memory: Bytes in flight, all pipelines together; ``None``: a share of
            what the machine offers.
        cpu: Worker slots; ``None``: what the machine really offers, less one.
        budget_usd: Hard stop on all spending recorded in the home, or ``None``.
        engine: What runs the stages.
    """

    home: Annotated[Path, ONE_PATH] = Path(".tenire")
    memory: Annotated[int | None, size('a size of at least 1MiB, as "1GiB", "500MB" or bytes', minimum=2**20)] = None
    cpu: Annotated[int | None, whole(f"{POSITIVE}, at most 4096", minimum=1, maximum=4096)] = None
    budget_usd: Annotated[float | None, amount("a number of dollars, 0 or more", minimum=0)] = None
    engine: Annotated[
        EngineSettings, choice_or_table(EngineSettings, "kind", "local", "ray", shown='{ kind = "ray", address = "…" }')
    ] = EngineSettings()


class PriceSettings(Table, frozen=True, kw_only=True):
    """``[quotas.NAME.price]``: US dollars for a million tokens."""

    input_usd_per_mtok: Annotated[float, amount("a number of dollars, 0 or more", minimum=0)]
    output_usd_per_mtok: Annotated[float, amount("a number of dollars, 0 or more", minimum=0)]
    cached_input_usd_per_mtok: Annotated[float | None, amount("a number of dollars, 0 or more", minimum=0)] = None
    batch_share: Annotated[float, amount("a part, from 0 to 1", minimum=0, maximum=1)] = 0.5


class QuotaSettings(Table, frozen=True, kw_only=True):
    """``[quotas.NAME]``: a server, its key and what it allows.

    Attributes:
        base_url: Address of the OpenAI-compatible server.
        api_key_env: Name of the environment variable that holds the key.
        rpm: Requests per minute, or ``None`` for no declared limit.
        tpm: Tokens per minute, or ``None`` for no declared limit.
        input_tpm: Input tokens per minute, for providers that count them apart.
        output_tpm: Output tokens per minute, the same.
        counts_output: What counts of a call's output: ``reserved`` or ``real``; ``None``: found out.
        max_concurrency: Calls in flight; ``None``: found by itself.
        group: What the provider counts together: the same name, the same quota; ``None``: what has the same limits.
        dialect: How the server is spoken to: ``openai``, ``anthropic``, or ``auto`` by its address.
        api_version: Of Azure's API, for servers of Azure at other addresses.
        price: Prices, or ``None`` for the built-in ones.
    """

    base_url: Annotated[str, pattern("an address that starts with http:// or https://", r"https?://[^\s/]+(/\S*)?")]
    api_key_env: Annotated[
        str | None,
        pattern(
            "the name of an environment variable (letters, digits, _), not the key itself",
            r"[A-Za-z_][A-Za-z0-9_]{0,127}",
            private=True,
        ),
    ] = None
    rpm: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    tpm: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    input_tpm: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    output_tpm: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    counts_output: Annotated[str | None, choice("reserved", "real")] = None
    max_concurrency: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    group: Annotated[str | None, text("the name of what the provider counts together")] = None
    dialect: Annotated[str, choice("auto", "openai", "anthropic")] = "auto"
    api_version: Annotated[str | None, text("a version of Azure's API, as 2024-10-21")] = None
    price: PriceSettings | None = None


class ValidateSettings(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME.validate]``: what a document has to be like; see ``documents.validation.Checks``."""

    min_size: Annotated[int | None, size('a size above 0, as "1KiB" or bytes', minimum=1)] = None
    max_size: Annotated[int | None, size('a size above 0, as "1MiB" or bytes', minimum=1)] = None
    min_text: Annotated[int | None, whole(f"{POSITIVE} of characters", minimum=1)] = None
    max_text: Annotated[int | None, whole(f"{POSITIVE} of characters", minimum=1)] = None
    languages: Annotated[tuple[str, ...], names('a list of ISO 639-1 codes, as ["en", "de"]', r"[a-z]{2,3}")] = ()
    required: Annotated[tuple[str, ...], names('a list of names, as ["title", "author"]')] = ()
    function: Annotated[str | None, pattern('the name of a function, as "module:function"', NAMED_FUNCTION)] = None


Limit = Annotated[float | bool | None, limit()]


class QualitySettings(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME.quality]``: rules by name, each with a limit or ``true`` for the usual one.

    See ``documents.quality.RULES``.
    """

    min_words: Limit = None
    max_words: Limit = None
    min_word_length: Limit = None
    max_word_length: Limit = None
    symbols: Limit = None
    bullet_lines: Limit = None
    ellipsis_lines: Limit = None
    words_with_letters: Limit = None
    stopwords: Limit = None
    repeated_lines: Limit = None
    repeated_paragraphs: Limit = None
    repeated_two_words: Limit = None
    repeated_three_words: Limit = None
    repeated_four_words: Limit = None
    finished_lines: Limit = None
    braces: Limit = None
    lorem_ipsum: Limit = None


class DocumentsPipeline(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME]`` with ``recipe = "documents"``: files → searchable store.

    Attributes:
        source: Directories, files and patterns as they were written; relative
            ones are relative to ``Config.base``. Or rows, of which each is a document; or web pages.
        embedder: ``auto``, ``minilm``, ``static`` or ``openai:MODEL``.
        store: ``lancedb`` (in the home), an absolute directory, or a DSN.
        quota: The quota of an ``openai:`` embedder, or ``None``.
        max_file: Largest file that is read, in bytes.
        max_expanded: The most that may come out of one archive or compressed file, in bytes.
        file_timeout_s: Seconds that a parser may take for one file.
        passage_tokens: Most tokens of a passage as its embedder counts them; ``None``:
            700 characters, and no more than the embedder reads at once.
        overlap: Part of a passage that the next one of its section repeats; ``None``: nothing.
        validate: What a document has to be like, or ``None``.
        quality: When a document is not worth finding, or ``None``.
        mask: Kinds of personal data that are masked.
        language: Whether to find out in which language a text is.
        boilerplate: In which share of the documents a line has to stand to be taken out;
            ``False`` where all stay.
        near_duplicates: From which share of words in common on two documents are nearly the
            same, so that one stands for both; ``False`` where that makes no difference.
        stages: Functions that a document goes through before it is cut, each as ``module:function``.
        weight: Share against other pipelines.
        priority: ``critical``, ``high``, ``normal``, ``low`` or ``idle``.
        after: Pipelines that must have ended before this one starts.
    """

    recipe: ClassVar[str] = "documents"
    source: DocumentSources
    embedder: EmbedderName = "auto"
    store: Annotated[str, text('"lancedb", a directory or a DSN such as "postgresql://…"')] = "lancedb"
    quota: Annotated[str | None, text("the name of a quota")] = None
    max_file: Annotated[int, size('a size above 0, as "64MiB" or bytes', minimum=1)] = 64 << 20
    max_expanded: Annotated[int, size('a size above 0, as "1GiB" or bytes', minimum=1)] = 1 << 30
    file_timeout_s: Annotated[float, amount("a number of seconds above 0", above=0)] = 120.0
    passage_tokens: Annotated[int | None, whole("a whole number from 16 to 8192", minimum=16, maximum=8192)] = None
    overlap: Annotated[float | None, amount("a part, from 0 to 0.5", minimum=0, maximum=0.5)] = None
    validate: ValidateSettings | None = None
    quality: QualitySettings | None = None
    mask: Annotated[tuple[str, ...], words("email", "phone", "card", "iban", "ip")] = ()
    language: Annotated[bool, truth()] = True
    boilerplate: Annotated[float | bool, line_share()] = False
    near_duplicates: Annotated[float | bool, share()] = False
    stages: Annotated[tuple[str, ...], STAGES] = ()
    weight: Weight = 1.0
    priority: PriorityName = "normal"
    after: After = ()


class PythonDocuments(DocumentsPipeline, frozen=True, kw_only=True):
    """The same, with items from Python.

    Attributes:
        items: Where they come from.
    """

    items: Any = None


class ChatPipeline(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME]`` with ``recipe = "chat"``: one model reply a row.

    Attributes:
        source: Files of rows: JSON lines, CSV or Parquet; or a query of a database.
        quota: The quota that the calls share; ``None`` for a model on this machine.
        model: The model's name at the provider; ``local`` or ``local:FILE.gguf`` for
            one on this machine.
        prompt: The prompt of each row, with ``{field}`` for a field.
        output: The file of JSON lines that replies go to.
        system: What goes before it as the system's message, with ``{field}`` too.
        max_output_tokens: Most tokens of a reply.
        temperature: How free the model is; ``None``: as the provider has it.
        fallback: Models of the same provider that are asked in order when all tries have failed.
        schema: A file with the JSON schema that replies must follow, or ``None``.
        mode: ``realtime``; ``batch``: in the provider's batches, at a lower price, within a
            day; or ``auto``: in batches what may take that long and is cheaper so.
        deadline_s: Seconds after which all replies are to be there, for ``auto``.
        batch_rows: Most rows of one batch.
        batch_bytes: Most bytes of its file.
        timeout_s: Seconds that one try may take.
        cache: Whether replies are kept in the home, and given again for equal requests.
        ttl_s: Seconds for which a kept reply is fresh; ``None`` for ever.
        stale_s: Seconds for which it is still given after that, while a new one is fetched.
        on_too_long: What to do with a row whose prompt is longer than the model can
            take: ``quarantine``, or ``shorten`` its longest text.
        budget_usd: Most dollars that the pipeline may ever spend, or ``None``.
        weight: As for documents.
        priority: As for documents.
        after: As for documents.
    """

    recipe: ClassVar[str] = "chat"
    source: RowSources
    quota: Annotated[str | None, text("the name of a quota")] = None
    model: Annotated[str, _MODEL]
    prompt: Annotated[str, text("a text that is not empty")]
    output: Annotated[str, ONE_PATH]
    system: Annotated[str | None, text("a text that is not empty")] = None
    max_output_tokens: Annotated[int | None, whole(POSITIVE, minimum=1)] = None
    temperature: Annotated[float | None, amount("a number from 0 to 2", minimum=0, maximum=2)] = None
    fallback: Annotated[tuple[str, ...], names('a list of models, as ["gpt-4o"]', r".+")] = ()
    schema: Annotated[str | None, ONE_PATH] = None
    mode: Annotated[str, choice("realtime", "batch", "auto")] = "realtime"
    deadline_s: Annotated[float | None, amount("a number of seconds above 0", above=0)] = None
    batch_rows: Annotated[int, whole(POSITIVE, minimum=1)] = 50_000
    batch_bytes: Annotated[int, whole(POSITIVE, minimum=1)] = 100_000_000
    timeout_s: Annotated[float, amount("a number of seconds above 0", above=0)] = 60.0
    cache: Annotated[bool, truth()] = True
    ttl_s: Annotated[float | None, amount(_SECONDS_FROM_0, minimum=0)] = None
    stale_s: Annotated[float, amount(_SECONDS_FROM_0, minimum=0)] = 0.0
    on_too_long: Annotated[str, choice("quarantine", "shorten")] = "quarantine"
    budget_usd: Annotated[float | None, amount("a number of dollars, 0 or more", minimum=0)] = None
    weight: Weight = 1.0
    priority: PriorityName = "normal"
    after: After = ()

    @property
    def local(self) -> bool:
        """Whether the model is on this machine."""
        return self.model == "local" or self.model.startswith("local:")


class StagesPipeline(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME]`` with ``recipe = "stages"``: items → functions of the user → a file.

    Attributes:
        source: Files of rows: JSON lines, CSV or Parquet; or a query of a database.
        stages: The functions, in order, each as ``module:function``.
        sink: The file that items go to in the end.
        weight: As for documents.
        priority: As for documents.
        after: As for documents.
    """

    recipe: ClassVar[str] = "stages"
    quota: ClassVar[str | None] = None
    source: RowSources
    stages: Annotated[tuple[str, ...], STAGES]
    sink: Annotated[str, ONE_PATH]
    weight: Weight = 1.0
    priority: PriorityName = "normal"
    after: After = ()

    @property
    def output(self) -> str:
        """The file that it writes, as other recipes call it."""
        return self.sink


class PythonStages(StagesPipeline, frozen=True, kw_only=True):
    """The same, described in Python.

    Attributes:
        items: Where items come from instead of files, or ``None``.
        functions: The functions themselves, or names of them as in a file.
    """

    items: Any = None
    functions: tuple[Any, ...] = ()


PipelineSettings = DocumentsPipeline | ChatPipeline | ClassifyPipeline | PredictPipeline | StagesPipeline

RECIPES: dict[str, type[PipelineSettings]] = {
    "documents": DocumentsPipeline,
    "chat": ChatPipeline,
    "classify": ClassifyPipeline,
    "predict": PredictPipeline,
    "stages": StagesPipeline,
}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, checked.

    Attributes:
        tenire: What all pipelines share.
        pipelines: Settings by pipeline name, in the order of the file.
        quotas: Settings by quota name.
        base: Absolute directory that relative ``source`` entries refer to.
        file: The file it came from, as it was named, or ``None``.
        partial: Whether ``source`` names only a part of what a pipeline owns, as for
            ``ingest``, which is called with one folder today and another tomorrow.
        upgrade_embedder: Whether a store that was built with another embedder goes over
            to the one that is named here.
    """

    tenire: TenireSettings
    pipelines: dict[str, PipelineSettings]
    quotas: dict[str, QuotaSettings]
    base: Path
    file: str | None = None
    partial: bool = False
    upgrade_embedder: bool = False
