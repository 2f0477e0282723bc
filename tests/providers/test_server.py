"""The scripted provider itself, since other tests lean on it."""

from __future__ import annotations

import openai
import pytest

from tests.providers import ScriptedProvider


def test_embeddings_depend_on_the_text_alone() -> None:
    """OpenAI's client gets one unit vector a text, and the words as tokens."""
    with (
        ScriptedProvider() as provider,
        openai.OpenAI(api_key="none", base_url=provider.openai_url) as client,
    ):
        first = client.embeddings.create(model="m", input=["a cart", "a cart", ""])
        again = client.embeddings.create(model="m", input="a cart")
    vectors = [item.embedding for item in first.data]
    assert vectors[0] == vectors[1] == again.data[0].embedding
    assert [round(sum(value * value for value in vector), 9) for vector in vectors] == [1.0, 1.0, 1.0]
    assert (first.usage.prompt_tokens, again.usage.prompt_tokens) == (4, 2)


def test_script_that_is_at_its_end_is_not_asked_twice() -> None:
    """One call too many fails at once, so that a test does not wait for retries."""
    with (
        ScriptedProvider() as provider,
        openai.OpenAI(api_key="none", base_url=provider.openai_url) as client,
        pytest.raises(openai.APIStatusError, match="the script is at its end"),
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert len(provider.received) == 1


def test_unknown_path_is_not_found() -> None:
    """A base URL that ends at the wrong place is seen."""
    with (
        ScriptedProvider() as provider,
        openai.OpenAI(api_key="none", base_url=provider.url) as client,
        pytest.raises(openai.NotFoundError, match="no such path: /embeddings"),
    ):
        client.embeddings.create(model="m", input="a cart")
