"""One index of made-up Python files in a fresh process: built, brought up to date, asked.

python -m benchmarks.loads.retrieval HOME FOLDER QUERIES
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from coding_agent.records import AgentSettings
from coding_agent.retrieval import build_retriever, read_index_status

from ._answer import answer

_WORDS = ("order", "total", "weight", "customer", "parcel", "refund", "stock", "price", "address", "label")


def main() -> None:
    """Answer seconds for building, for an unchanged tree, and per query, and how many chunks there are."""
    home, folder, queries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    paths = sorted(path.name for path in folder.glob("*.py"))
    settings = AgentSettings(home=home)
    retriever = build_retriever(settings, repository=folder, root=folder, paths=lambda: paths)
    began = time.perf_counter()
    retriever.index()
    built = time.perf_counter()
    retriever.index()
    renewed = time.perf_counter()
    for number in range(queries):
        first, second = _WORDS[number % 10], _WORDS[number // 10 % 10]
        found = retriever.retrieve(f"where is the {first} of the {second} number {number} counted")
        if found.mode != "hybrid" or not found.passages:
            sys.exit(
                f"a query found {len(found.passages)} passages, mode {found.mode!r}: {retriever.problems}"
            )
    asked = time.perf_counter()
    chunks = read_index_status(settings.home).chunks
    answer(build_s=built - began, renew_s=renewed - built, query_s=(asked - renewed) / queries, chunks=chunks)


if __name__ == "__main__":
    main()
