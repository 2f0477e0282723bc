"""A program of one's own, observed: does what each line of its input says, and answers `done` each time.

Its tasks, calls of models (by the live adapter) and retrievals are real; telling of them is the recorder's.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import openai
from opentelemetry import trace
from opentelemetry._logs import get_logger
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import taskscope
from coding_agent.errors import ModelError
from coding_agent.models._live import Line
from coding_agent.models.openai import OpenAIModel
from coding_agent.records import Message
from taskscope.prices import Prices

PROVIDER_URL = os.environ["PROVIDER_URL"]
_closing = threading.Event()


class FailsOnce(SpanProcessor):
    """A processor of the host's own, with a fault."""

    def __init__(self) -> None:
        self._left = 1

    def on_end(self, span: ReadableSpan) -> None:
        if self._left:
            self._left = 0
            raise ZeroDivisionError


def fail(kind: str, number: str = "1") -> None:
    for _ in range(int(number)):
        with contextlib.suppress(RuntimeError), taskscope.task(kind):
            raise RuntimeError


def succeed(kind: str, number: str = "1") -> None:
    for _ in range(int(number)):
        with taskscope.task(kind):
            pass


def open_task(kind: str) -> None:
    """On a thread of its own, which then says nothing until it is told to end."""
    is_open = threading.Event()

    def work() -> None:
        with taskscope.task(kind):
            is_open.set()
            _closing.wait()

    threading.Thread(target=work, daemon=True).start()
    is_open.wait()


def close_task() -> None:
    _closing.set()


def call(model: str, number: str = "1") -> None:
    line = Line(model=model, provider="openai", base_url=PROVIDER_URL, api_key="none")
    with contextlib.closing(OpenAIModel(line)) as live:
        for _ in range(int(number)):
            with contextlib.suppress(ModelError):
                live.complete([Message(role="user", text="hello")])


def retrieve(number: str) -> None:
    """Many at once, each asking the embedder."""

    def search() -> None:
        with taskscope.retrieval("docs"), openai.OpenAI(api_key="none", base_url=PROVIDER_URL) as client:
            client.embeddings.create(model="embedder", input="question")

    threads = [threading.Thread(target=search) for _ in range(int(number))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def add_faulty_processor() -> None:
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(FailsOnce())
    succeed("repair")


def flood(number: str) -> None:
    for _ in range(int(number)):
        with taskscope.step("other"), trace.get_tracer("host").start_as_current_span("fat") as span:
            span.set_attribute("text", os.urandom(1000).hex())
    assert taskscope.flush(60)


def log(number: str) -> None:
    logger = get_logger("host")
    for _ in range(int(number)):
        logger.emit(body=os.urandom(500).hex())
    assert taskscope.flush(60)


COMMANDS: dict[str, Callable[..., None]] = {
    "fail": fail,
    "succeed": succeed,
    "open": open_task,
    "close": close_task,
    "call": call,
    "retrieve": retrieve,
    "add_faulty_processor": add_faulty_processor,
    "flood": flood,
    "log": log,
}


def answer() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


def main() -> None:
    taskscope.configure()
    prices = Prices(Path(os.environ["TASKSCOPE_PRICES_FILE"]))
    taskscope.instrument("coding_agent", price=prices.price)
    answer()
    for line in sys.stdin:
        name, *arguments = line.split()
        COMMANDS[name](*arguments)
        answer()
    taskscope.shutdown(timeout=10)


if __name__ == "__main__":
    main()
