"""Laws of embeddings over an API, against a real HTTP server that speaks it."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from coding_agent.errors import BudgetExceededError, ModelError, ToolMissingError
from coding_agent.records import Usage
from coding_agent.retrieval.cache import EmbeddingCache
from coding_agent.retrieval.embedding import OpenAIEmbedder
from tests.coding_agent.retrieval.fakes import FakeTree, open_retriever

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("openai", reason="the extra openai is not installed")


class FakeProvider(ThreadingHTTPServer):
    """Embeds a text as (its length, 1) and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self.has_usage = True
        self.drops_last = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeProvider

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        data = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]}
            for at, text in enumerate(request["input"])
        ]
        reply: dict[str, Any] = {"object": "list", "model": request["model"], "data": data[::-1]}
        if self.server.drops_last:
            data.pop()
            reply["data"] = data
        if self.server.has_usage:
            tokens = len(request["input"])
            reply["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = json.dumps(reply if self.server.status == 200 else {"error": {"message": "key sk-planted"}})
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the library
        pass


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def open_embedder(provider: FakeProvider, **options: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder("some-model", api_key="sk-planted", base_url=provider.url, **options)


def test_vectors_come_back_in_order_and_at_unit_length(provider: FakeProvider) -> None:
    """The provider's indexes decide which vector is whose, and each is brought to length 1."""
    result = open_embedder(provider).embed(["abc", ""])
    assert [list(vector) for vector in result] == [
        pytest.approx([3 / 10**0.5, 1 / 10**0.5]),
        pytest.approx([1 / 2**0.5, 1 / 2**0.5]),
    ]
    assert (result.live_calls, result.usage) == (1, Usage(input_tokens=2))
    assert provider.requests[0]["encoding_format"] == "float"


def test_many_texts_go_in_several_requests(provider: FakeProvider) -> None:
    """A request holds at most 128 texts; usage is the sum, and a repeated text is sent once."""
    result = open_embedder(provider).embed([f"text {number}" for number in range(200)] + ["text 0"])
    assert [len(request["input"]) for request in provider.requests] == [128, 72]
    assert (len(result), result.live_calls, result.usage) == (201, 2, Usage(input_tokens=200))


def test_a_missing_usage_stays_missing(provider: FakeProvider) -> None:
    """Tokens that the provider does not report are unknown, never 0."""
    provider.has_usage = False
    assert open_embedder(provider).embed(["a"]).usage is None


def test_the_gate_is_asked_before_each_request(provider: FakeProvider) -> None:
    """A gate that refuses lets no request out, and its refusal is what the caller sees."""
    asked = []

    def gate(**call: object) -> None:
        asked.append(call)
        raise BudgetExceededError("the day's budget is used up")

    with pytest.raises(BudgetExceededError):
        open_embedder(provider, gate=gate).embed(["a"])
    assert asked == [{"provider": "openai", "model": "some-model", "base_url": provider.url}]
    assert provider.requests == []


def test_what_the_cache_knows_is_not_asked_again(provider: FakeProvider, tmp_path: Path) -> None:
    """Cached texts cost no request and no gate; the rest is sent alone."""
    first = open_embedder(provider, cache=EmbeddingCache(tmp_path / "cache.db")).embed(["a", "bb"])
    cached = open_embedder(provider, cache=EmbeddingCache(tmp_path / "cache.db"))
    again = cached.embed(["bb", "a"])
    assert (again.cache_hits, again.live_calls, again.usage) == (2, 0, None)
    assert list(again) == list(first)[::-1]
    assert cached.dimensions == 2
    cached.embed(["a", "ccc"])
    assert provider.requests[-1]["input"] == ["ccc"]


def test_another_server_is_another_model(provider: FakeProvider, tmp_path: Path) -> None:
    """The same model name at another base URL shares no vectors."""
    cache = EmbeddingCache(tmp_path / "cache.db")
    open_embedder(provider, cache=cache).embed(["a"])
    elsewhere = OpenAIEmbedder("some-model", api_key="k", base_url=f"{provider.url}/", cache=cache)
    assert elsewhere.embed(["a"]).cache_hits == 0


def test_a_refusal_tells_status_and_never_the_key(provider: FakeProvider) -> None:
    """The error names model, place and HTTP status; what the provider quoted of the key stays out."""
    provider.status = 401
    with pytest.raises(
        ModelError, match=r"'some-model' at http.* failed: AuthenticationError \(HTTP 401\)"
    ) as caught:
        open_embedder(provider).embed(["a"])
    assert "sk-planted" not in str(caught.value)


def test_a_short_answer_is_an_error(provider: FakeProvider) -> None:
    """Fewer vectors than texts would pair texts with the wrong ones."""
    provider.drops_last = True
    with pytest.raises(ModelError, match="2 texts sent, 1 vectors came back"):
        open_embedder(provider).embed(["a", "b"])


def test_live_models_switched_off_means_off(provider: FakeProvider) -> None:
    """With the one switch no request leaves, and the message says how to go on."""
    with pytest.raises(ModelError, match="switched off") as caught:
        open_embedder(provider, is_allowed=False).embed(["a"])
    assert "hash" in caught.value.hint
    assert provider.requests == []


def test_without_a_key_the_message_says_so() -> None:
    """OpenAI itself needs a key; a server of one's own need not."""
    with pytest.raises(ModelError, match="needs a key"):
        OpenAIEmbedder("text-embedding-3-small", api_key=None).embed(["a"])


def test_without_the_extra_the_message_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there is told with the line that installs it."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ToolMissingError) as caught:
        OpenAIEmbedder("m", api_key="k").embed(["a"])
    assert "pip install 'taskscope[openai]'" in caught.value.hint


def test_the_retriever_works_over_an_api(provider: FakeProvider, tmp_path: Path) -> None:
    """By setting, dense vectors stand behind the whole retrieval; a second task asks for nothing known."""
    tree = FakeTree(tmp_path / "tree")
    tree.write("a.py", "def total(): ...\n")
    chosen: dict[str, Any] = {"embedder": "openai:some-model", "openai_base_url": provider.url}
    for _ in range(2):
        retriever = open_retriever(tmp_path / "home", tree, **chosen)
        retriever.index()
        assert retriever.retrieve("total").mode == "hybrid"
        assert retriever.problems == []
    assert [request["input"] for request in provider.requests] == [["def total(): ...\n"], ["total"]]


def test_a_provider_that_is_down_leaves_words(provider: FakeProvider, tmp_path: Path) -> None:
    """When the API refuses, retrieval answers by BM25 and says so."""
    provider.status = 404
    tree = FakeTree(tmp_path / "tree")
    tree.write("a.py", "def total(): ...\n")
    chosen: dict[str, Any] = {"embedder": "openai:some-model", "openai_base_url": provider.url}
    retriever = open_retriever(tmp_path / "home", tree, **chosen)
    retriever.index()
    assert retriever.retrieve("total").mode == "bm25"
    assert "HTTP 404" in retriever.problems[0]
