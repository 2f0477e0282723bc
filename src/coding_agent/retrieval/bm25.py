"""Search by words: BM25 of SQLite's FTS5 over the tokens that the store keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rankings import Hit, Ranking
from .tokens import split_tokens

if TYPE_CHECKING:
    from .store import ChunkStore

_TERMS = 256
"""Tokens of a query that are searched: a pasted log has thousands. The longest stay, they are the rarest."""

# Ties stand in the order of their places, so that an index built in steps answers like one built at once.
_QUERY = """
SELECT chunks.id, found.score, found.total
FROM (SELECT rowid AS id, rank AS score, count(*) OVER () AS total FROM terms WHERE terms MATCH ?) AS found
JOIN chunks ON chunks.id = found.id
ORDER BY found.score, chunks.path, chunks.part
LIMIT ?
"""


class Bm25Index:
    """The words of one chunk store."""

    def __init__(self, store: ChunkStore, name: str) -> None:
        self.name = name
        self._store = store

    def search(self, text: str, *, limit: int) -> Ranking[int]:
        """Return the chunks that share words with the text; scores are SQLite's `bm25()`, sign turned."""
        match = match_any(text)
        if not match or not self._store.exists():
            return Ranking((), 0)
        with self._store.reading() as connection:
            rows = connection.execute(_QUERY, (match, limit)).fetchall()
        hits = tuple(Hit(int(key), -float(score)) for key, score, _total in rows)
        return Ranking(hits, int(rows[0][2]) if rows else 0)


def match_any(text: str) -> str:
    """Return an FTS5 expression for any of the text's tokens, each quoted; empty when the text has none."""
    tokens = list(dict.fromkeys(split_tokens(text)))
    if len(tokens) > _TERMS:
        tokens = sorted(tokens, key=len, reverse=True)[:_TERMS]
    return " OR ".join(f'"{token}"' for token in tokens)
