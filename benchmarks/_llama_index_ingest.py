"""The same ingest through LlamaIndex's ``IngestionPipeline``, in an environment of its own (``requirements/peers.in``).

Files, text of pages, model and store are those of ``_plain_ingest.py``; the splitter is LlamaIndex's own
for so many tokens that passages come out about as long. Prints what it embedded as one line of JSON.

    python benchmarks/_llama_index_ingest.py FOLDER STORE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _plain_ingest import text_of
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document
from llama_index.vector_stores.lancedb import LanceDBVectorStore

from tenire.vectors import load_embedder
from tenire.vectors.minilm_tokens import load_tokenizer
from tenire.vectors.weights import find_minilm

TOKENS = 190
"""In a passage at the most: their mean length comes out at what 700 characters at the most give."""

BATCH = 64


class MiniLMEmbedding(BaseEmbedding):
    """Tenire's MiniLM behind LlamaIndex's face."""

    _embed: Any = PrivateAttr()

    def __init__(self, **settings: Any) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2", **settings)
        self._embed = load_embedder("minilm").embed

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embed(texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main(folder: Path, store: Path) -> None:
    """Ingest a folder into a new store."""
    files = find_minilm()
    assert files is not None
    tokenizer = load_tokenizer(files.tokenizer)
    tokenizer.no_truncation()
    documents = [
        Document(text=text_of(path), metadata={"source": str(path)})
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    splitter = SentenceSplitter(
        chunk_size=TOKENS,
        chunk_overlap=0,
        include_metadata=False,
        tokenizer=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
    )
    embedding = MiniLMEmbedding(embed_batch_size=BATCH)
    vectors = LanceDBVectorStore(uri=str(store), mode="create")
    pipeline = IngestionPipeline(transformations=[splitter, embedding], vector_store=vectors)
    nodes = pipeline.run(documents=documents)
    text_bytes = sum(len(node.get_content().encode()) for node in nodes)
    sys.stdout.write(json.dumps({"passages": len(nodes), "text_bytes": text_bytes}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
