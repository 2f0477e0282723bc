"""The spans of finding and remembering: retrieval, its stages, indexing, memory, and the database below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names

from .guard import guarded
from .operation import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence


class RetrievalSpan(Operation):
    """A search for passages or skills."""

    is_client = True
    phase = "retrieve"

    @guarded
    def finish(
        self,
        *,
        results: int | None = None,
        candidates: int | None = None,
        mode: str | None = None,
        skills: Sequence[str] | None = None,
    ) -> None:
        """Say what was found; `skills` names the skills that a selection offers, best first."""
        self.update(
            {
                attr.RETRIEVAL_RESULTS: results,
                attr.RETRIEVAL_CANDIDATES: candidates,
                attr.RETRIEVAL_MODE: mode,
                attr.SKILL_OFFERED: None if skills is None else list(skills),
            }
        )


class StageSpan(Operation):
    """One stage of a retrieval."""

    phase = "retrieve"

    @guarded
    def finish(self, *, results: int | None = None, candidates: int | None = None) -> None:
        """Say what the stage found."""
        self.update({attr.RETRIEVAL_RESULTS: results, attr.RETRIEVAL_CANDIDATES: candidates})


class IndexSpan(Operation):
    """An index brought up to date."""

    phase = "retrieve"

    @guarded
    def finish(self, *, indexed: int, unchanged: int, skipped: int) -> None:
        """Say what was done with the files."""
        self.update(
            {
                attr.INDEX_FILES_INDEXED: indexed,
                attr.INDEX_FILES_UNCHANGED: unchanged,
                attr.INDEX_FILES_SKIPPED: skipped,
            }
        )


class MemorySearchSpan(Operation):
    """A look into a memory."""

    is_client = True
    phase = "recall"

    @guarded
    def finish(self, *, records: int) -> None:
        """Say how many records were found."""
        self.set(attr.GEN_AI_MEMORY_RECORD_COUNT, records)


class MemoryWriteSpan(MemorySearchSpan):
    """Records written to a memory."""

    phase = "remember"


class DatabaseSpan(Operation):
    """One operation on a database."""


def retrieval(source: str, *, mode: str | None = None, top_k: int | None = None) -> RetrievalSpan:
    """`retrieval {source}` CLIENT: a search, `skills` is a source too.

    gen_ai.data_source.id, .retrieval.top_k, taskscope.retrieval.mode where known at the start;
    taskscope.retrieval.results, .candidates, .mode, taskscope.skill.offered.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.RETRIEVAL,
        attr.GEN_AI_DATA_SOURCE_ID: source,
        attr.GEN_AI_RETRIEVAL_TOP_K: top_k,
        attr.RETRIEVAL_MODE: mode,
    }
    return RetrievalSpan(f"{names.RETRIEVAL} {source}", facts, kind=SpanKind.CLIENT)


def bm25(index: str, *, system: str | None = None) -> StageSpan:
    """`bm25 {index}`: the full-text stage; `system` is the database that it asks.

    taskscope.retrieval.stage, .index, db.* at the start; .results, .candidates.
    """
    facts = {attr.RETRIEVAL_STAGE: names.BM25, attr.RETRIEVAL_INDEX: index, **_search(system, index)}
    return StageSpan(f"{names.BM25} {index}", facts)


def vector(collection: str, *, system: str | None = None) -> StageSpan:
    """`vector {collection}`: the stage by similarity. Attributes as in `bm25`."""
    facts = {
        attr.RETRIEVAL_STAGE: names.VECTOR,
        attr.RETRIEVAL_INDEX: collection,
        **_search(system, collection),
    }
    return StageSpan(f"{names.VECTOR} {collection}", facts)


def _search(system: str | None, collection: str) -> dict[str, object]:
    if system is None:
        return {}
    return {
        attr.DB_SYSTEM_NAME: system,
        attr.DB_OPERATION_NAME: "SEARCH",
        attr.DB_COLLECTION_NAME: collection,
    }


def fuse(*, k: int | None = None) -> StageSpan:
    """`fuse`: the merging of rankings by reciprocal rank.

    taskscope.retrieval.stage, .fusion_method, .fusion_k at the start; .results, .candidates.
    """
    facts = {
        attr.RETRIEVAL_STAGE: names.FUSE,
        attr.RETRIEVAL_FUSION_METHOD: names.FUSION_METHODS[0],
        attr.RETRIEVAL_FUSION_K: k,
    }
    return StageSpan(names.FUSE, facts)


def index(index_name: str) -> IndexSpan:
    """`index {index}`: an index brought up to date. taskscope.retrieval.index; taskscope.index.files_*."""
    return IndexSpan(f"{names.INDEX} {index_name}", {attr.RETRIEVAL_INDEX: index_name})


def search_memory(store: str) -> MemorySearchSpan:
    """`search_memory`: a look into a memory. gen_ai.memory.store.id; gen_ai.memory.record.count."""
    facts = {attr.GEN_AI_OPERATION_NAME: names.SEARCH_MEMORY, attr.GEN_AI_MEMORY_STORE_ID: store}
    return MemorySearchSpan(names.SEARCH_MEMORY, facts)


def upsert_memory(store: str, *, record_id: str | None = None) -> MemoryWriteSpan:
    """`upsert_memory`: a record written. gen_ai.memory.store.id, .record.id; gen_ai.memory.record.count."""
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.UPSERT_MEMORY,
        attr.GEN_AI_MEMORY_STORE_ID: store,
        attr.GEN_AI_MEMORY_RECORD_ID: record_id,
    }
    return MemoryWriteSpan(names.UPSERT_MEMORY, facts)


def database(operation: str, *, system: str, collection: str | None = None) -> DatabaseSpan:
    """`{operation} {collection}` CLIENT: a database operation.

    db.system.name, .operation.name, .collection.name.
    """
    facts = {
        attr.DB_SYSTEM_NAME: system,
        attr.DB_OPERATION_NAME: operation,
        attr.DB_COLLECTION_NAME: collection,
    }
    name = f"{operation} {collection}" if collection else operation
    return DatabaseSpan(name, facts, kind=SpanKind.CLIENT)
