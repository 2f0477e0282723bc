"""The spans of calls to models: chat and embeddings, with their tokens and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names

from ._task import TaskSpan
from .context import get_frame
from .guard import INSTRUMENTATION, guarded
from .operation import Operation
from .pricing import find_pricer
from .usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskscope.prices import Price

    from .context import Frame

LOCAL = "local"
"""`gen_ai.provider.name` of a model on one's own machine; without an address it is in this very process."""


class ModelSpan(Operation):
    """A call of a model, in which `record_usage` finds it."""

    is_client = True
    names_agent = True
    operation = names.CHAT

    def __init__(
        self,
        model: str,
        facts: Mapping[str, object],
        *,
        provider: str,
        is_live: bool,
        base_url: str | None,
    ) -> None:
        self._model = model
        self._provider = provider
        self._is_live = is_live
        self._base_url = base_url
        self._is_in_process = provider == LOCAL and base_url is None
        kind = SpanKind.INTERNAL if self._is_in_process else SpanKind.CLIENT
        super().__init__(f"{self.operation} {model}", facts, kind=kind)

    def _reset(self) -> None:
        super()._reset()
        self._usage: TokenUsage | None = None
        self._answered_by: str | None = None

    @guarded
    def record_usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """Record the tokens that the provider reported; what it did not report stays None."""
        self._usage = TokenUsage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
        )
        self.update(
            {
                attr.GEN_AI_USAGE_INPUT_TOKENS: input_tokens,
                attr.GEN_AI_USAGE_OUTPUT_TOKENS: output_tokens,
                attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: cache_read_tokens,
                attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: cache_write_tokens,
                attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: reasoning_tokens,
            }
        )

    @guarded
    def record_response(
        self,
        *,
        model: str | None = None,
        response_id: str | None = None,
        finish_reasons: Sequence[str] = (),
        retry_count: int = 0,
    ) -> None:
        """Record what the provider said of its answer."""
        self._answered_by = model
        self.update(
            {
                attr.GEN_AI_RESPONSE_MODEL: model,
                attr.GEN_AI_RESPONSE_ID: response_id,
                attr.GEN_AI_RESPONSE_FINISH_REASONS: list(finish_reasons) or None,
                attr.LLM_RETRY_COUNT: retry_count or None,
            }
        )

    def _identify(self, frame: Frame) -> None:
        super()._identify(frame)
        frame.llm = self

    def _on_end(self) -> None:
        if not self._is_recording:
            return
        if self._items:
            self.update({attr.LLM_CHUNK_COUNT: self._items, attr.LLM_STREAM_OUTCOME: self._stream_outcome()})
        # At a used up budget the call was not made: there is nothing to price.
        if self._is_live and not self._is_in_process and self.error_type != names.ERROR_BUDGET_EXCEEDED:
            self._settle_price()

    def _break(self, error: BaseException) -> None:
        """Record how often the request was repeated, if the error knows it as `retry_count`."""
        count = getattr(error, "retry_count", None)
        self.set(attr.LLM_RETRY_COUNT, count if isinstance(count, int) and count > 0 else None)

    def _stream_outcome(self) -> str | None:
        completed, cancelled, abandoned = names.STREAM_OUTCOMES
        if self._is_abandoned:
            return abandoned
        return {None: completed, names.ERROR_CANCELLED: cancelled}.get(self.error_type)

    def _settle_price(self) -> None:
        if self.error_type is not None and self._usage is None:
            # Mostly free, but not always: some providers charge for what they refused or for what timed out.
            self._tell_price(None, names.COST_CALL_FAILED, None)
            return
        price = self._ask_price()
        if price is None:
            self._tell_price(None, "no_price_data", None)
        else:
            self._tell_price(price.micro_usd, price.unknown_reason, price.price_version)

    def _ask_price(self) -> Price | None:
        """Price by the model that answered, which may be a dated one, else by the one asked for."""
        with INSTRUMENTATION:
            pricer = find_pricer()
            if pricer is not None:
                models = tuple(dict.fromkeys(filter(None, (self._answered_by, self._model))))
                return pricer(self._provider, models, self._base_url, self._usage, operation=self.operation)
        return None

    def _tell_price(self, micro_usd: int | None, reason: str | None, version: str | None) -> None:
        known, unknown = names.COST_STATUSES
        self.update(
            {
                attr.COST_STATUS: unknown if micro_usd is None else known,
                attr.COST_MICRO_USD: micro_usd,
                attr.COST_UNKNOWN_REASON: reason if micro_usd is None else None,
                attr.COST_PRICE_VERSION: version,
            }
        )
        frame = get_frame(self.context) if self.context else None
        if frame is not None and isinstance(frame.task, TaskSpan):
            frame.task.count_cost(micro_usd)


class EmbeddingsSpan(ModelSpan):
    """A call of an embedder."""

    names_agent = True
    operation = names.EMBEDDINGS

    @guarded
    def finish(
        self, *, dimensions: int | None = None, cache_hits: int | None = None, live_calls: int | None = None
    ) -> None:
        """Say what came back; with 0 live calls, all from a cache, there is nothing to price."""
        self._is_live = live_calls != 0
        self.update(
            {attr.GEN_AI_EMBEDDINGS_DIMENSION_COUNT: dimensions, attr.EMBEDDINGS_CACHE_HITS: cache_hits}
        )


def chat(
    model: str,
    *,
    provider: str,
    mode: str = "live",
    origin: str | None = None,
    base_url: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
) -> ModelSpan:
    """`chat {model}`: one call of a model, retries inside; INTERNAL in this process, else CLIENT.

    gen_ai.provider.name, .request.*, server.*, taskscope.llm.{mode,origin} at the start; .usage.*,
    .response.*, taskscope.llm.retry_count, taskscope.cost.* (calls that leave the process only) at the end.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.CHAT,
        attr.GEN_AI_PROVIDER_NAME: provider,
        attr.GEN_AI_REQUEST_MODEL: model,
        attr.LLM_MODE: mode,
        attr.LLM_ORIGIN: origin,
        attr.GEN_AI_REQUEST_MAX_TOKENS: max_tokens,
        attr.GEN_AI_REQUEST_TEMPERATURE: temperature,
        attr.GEN_AI_REQUEST_TOP_P: top_p,
        **_server(base_url),
    }
    return ModelSpan(model, facts, provider=provider, is_live=mode == "live", base_url=base_url)


def embeddings(
    model: str, *, provider: str = LOCAL, inputs: int | None = None, base_url: str | None = None
) -> EmbeddingsSpan:
    """`embeddings {model}`: texts turned into vectors; INTERNAL in this process, else CLIENT.

    gen_ai.provider.name, .request.model, server.*, taskscope.embeddings.inputs at the start;
    gen_ai.usage.input_tokens, .embeddings.dimension.count, taskscope.embeddings.cache_hits, taskscope.cost.*.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.EMBEDDINGS,
        attr.GEN_AI_PROVIDER_NAME: provider,
        attr.GEN_AI_REQUEST_MODEL: model,
        attr.EMBEDDINGS_INPUTS: inputs,
        **_server(base_url),
    }
    return EmbeddingsSpan(model, facts, provider=provider, is_live=True, base_url=base_url)


def _server(base_url: str | None) -> dict[str, object]:
    """Return server.address and server.port of an address; its path, user and password are left out."""
    if not base_url:
        return {}
    try:
        parts = urlsplit(base_url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return {}
    return {attr.SERVER_ADDRESS: parts.hostname, attr.SERVER_PORT: port} if parts.hostname else {}
