"""Retrieval, embeddings, memory, and the skills that they find."""

from __future__ import annotations

from typing import Final

from grafana.mixin.builders import chart, grown_by, instant, percentiles, table
from grafana.mixin.config import CONFIG
from grafana.mixin.panels import Page, Query, Row, Step
from grafana.mixin.queries import among, grown, is_set, p95, positive, quantile, rate, ratio, select, total
from grafana.mixin.variables import EMBEDDER, HOSTS
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.spans import EMBEDDINGS, RETRIEVAL

_NONE: Final = "no retrievals"
_IS_RETRIEVAL: Final = among(attr.GEN_AI_OPERATION_NAME, RETRIEVAL)
_IS_EMBEDDING: Final = among(attr.GEN_AI_OPERATION_NAME, EMBEDDINGS)
_OPERATIONS: Final = metrics.OPERATION_DURATION
_RESULTS: Final = metrics.RETRIEVAL_RESULTS
_LOOKUPS: Final = metrics.EMBEDDINGS_CACHE_LOOKUPS
_SKILL: Final = (attr.GEN_AI_SKILL_NAME,)


def _skills(name: str, metric: metrics.Metric, key: str, value: str) -> Query:
    expr = positive(total(grown(select(metric, among(key, value))), *_SKILL))
    return instant(expr, name, *_SKILL)


_SEARCH: Final = Row(
    "Is the search fast, and does it find?",
    (
        chart(
            "How long a retrieval takes",
            *percentiles(select(_OPERATIONS, _IS_RETRIEVAL, part="bucket"), ""),
            description="Half and 95 % of the retrievals take at most this, all stages together.",
            bad="Seconds: the index is large and scanned, or an embedder is far away.",
            unit="s",
            empty=_NONE,
            steps=(Step(CONFIG.limits.retrieval_p95_s, "red"),),
            alerts=("TaskscopeRetrievalSlow",),
        ),
        chart(
            "By stage",
            Query(
                p95(metrics.RETRIEVAL_STAGE_DURATION, attr.RETRIEVAL_STAGE),
                "p95 {{taskscope_retrieval_stage}}",
            ),
            description="95 % of the runs of a stage take at most this: full text, vectors, fusion.",
            bad="The stage whose line rises is the slow one.",
            unit="s",
            empty=_NONE,
        ),
        chart(
            "Results of a retrieval",
            Query(
                ratio(
                    total(rate(select(_RESULTS, part="sum")), attr.RETRIEVAL_MODE),
                    total(rate(select(_RESULTS, part="count")), attr.RETRIEVAL_MODE),
                ),
                "{{taskscope_retrieval_mode}}",
            ),
            description="Results of one retrieval on average, by which stages took part.",
            bad=(
                "Near 0: nothing is similar enough, or the index is empty. Mode `bm25` alone: no embedder "
                "works."
            ),
            unit="none",
            empty=_NONE,
        ),
        table(
            "Operations on indexes, memories and embedders",
            grown_by(select(_OPERATIONS, part="count"), "Calls", attr.GEN_AI_OPERATION_NAME),
            instant(
                positive(
                    total(
                        grown(select(_OPERATIONS, is_set(attr.ERROR_TYPE), part="count")),
                        attr.GEN_AI_OPERATION_NAME,
                    )
                )
                + f" or {total(select(_OPERATIONS, part='count'), attr.GEN_AI_OPERATION_NAME)} * 0",
                "Failed",
                attr.GEN_AI_OPERATION_NAME,
            ),
            instant(
                quantile(0.95, grown(select(_OPERATIONS, part="bucket")), attr.GEN_AI_OPERATION_NAME),
                "p95",
                attr.GEN_AI_OPERATION_NAME,
                unit="s",
            ),
            description="Retrievals, embeddings and uses of memory in the chosen time.",
            bad="Failures here make plans worse without failing a task.",
            empty=_NONE,
            columns=(("gen_ai_operation_name", "Operation"),),
        ),
        chart(
            "Texts found in the cache of vectors",
            Query(
                ratio(
                    total(rate(select(_LOOKUPS, among(attr.CACHE_RESULT, "hit")))),
                    total(rate(select(_LOOKUPS))),
                ),
                "hits",
            ),
            description="Share of the texts whose vectors were at hand.",
            bad="Low on a repository that hardly changes: the cache is lost between runs.",
            unit="percentunit",
            empty="no embeddings",
            maximum=1,
        ),
        chart(
            "Calls of embedders",
            Query(
                quantile(
                    0.95,
                    rate(select(_OPERATIONS, _IS_EMBEDDING, part="bucket")),
                    attr.GEN_AI_REQUEST_MODEL,
                ),
                "p95 {{gen_ai_request_model}}",
            ),
            description="95 % of the calls of an embedder take at most this.",
            bad="Seconds: the embedder is far away or limits.",
            unit="s",
            empty="no embeddings",
        ),
        chart(
            "Searches in the index, reads of the store",
            Query(
                p95(
                    metrics.DB_DURATION, attr.DB_SYSTEM_NAME, attr.DB_COLLECTION_NAME, attr.DB_OPERATION_NAME
                ),
                "p95 {{db_system_name}} {{db_collection_name}} {{db_operation_name}}",
                labels=(attr.DB_SYSTEM_NAME, attr.DB_OPERATION_NAME),
            ),
            description=(
                "95 % of the reads of a database take at most this; `SELECT` without a name: pages of "
                "`serve`."
            ),
            bad="Reads of the store that take seconds: its file is large or its disk slow.",
            unit="s",
            empty="no reads",
            width=24,
        ),
    ),
)

_SKILLS: Final = Row(
    "Which skills are offered, chosen, and successful?",
    (
        table(
            "By skill",
            _skills("Offered", metrics.SKILL_SELECTIONS, attr.SKILL_SELECTION, "offered"),
            _skills("Chosen", metrics.SKILL_SELECTIONS, attr.SKILL_SELECTION, "chosen"),
            _skills("Succeeded", metrics.SKILL_EXECUTIONS, attr.SKILL_OUTCOME, "succeeded"),
            instant(
                positive(
                    total(
                        grown(
                            select(
                                metrics.SKILL_EXECUTIONS,
                                among(attr.SKILL_OUTCOME, "failed", "not_applicable"),
                            )
                        ),
                        *_SKILL,
                    )
                )
                + f" or {total(select(metrics.SKILL_EXECUTIONS), *_SKILL)} * 0",
                "Failed or not applicable",
                *_SKILL,
            ),
            description="How often each skill was offered for a finding, chosen, and did what it should.",
            bad=(
                "Often offered and never chosen: its description promises too much. Chosen and "
                "not applicable: "
                "its conditions are too wide."
            ),
            empty="no skills",
            width=16,
            columns=(("gen_ai_skill_name", "Skill"),),
        ),
        chart(
            "Skills in the library",
            Query(total(select(metrics.SKILL_LIBRARY_SIZE), "instance", operator="max"), "{{instance}}"),
            description="Skills of the library that a host loaded last, learned ones included.",
            bad="A fall: skills were lost, or a host runs another version.",
            unit="none",
            empty="no library loaded",
            width=8,
        ),
        chart(
            "Skills carried out, by outcome",
            Query(
                f"{total(rate(select(metrics.SKILL_EXECUTIONS)), attr.SKILL_OUTCOME)} * 3600",
                "{{taskscope_skill_outcome}}",
            ),
            description="Skills carried out per hour.",
            bad="`failed` and `not_applicable` are wasted steps.",
            unit="suffix:/h",
            empty="no skills",
            width=24,
            is_stacked=True,
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-retrieval",
    title="Taskscope / Retrieval and skills",
    question="Does the search find what helps, and do the skills work?",
    rows=(_SEARCH, _SKILLS),
    variables=(*HOSTS, EMBEDDER),
)
