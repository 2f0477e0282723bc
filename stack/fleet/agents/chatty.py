"""An agent that says more than there is room for: `chatty.py SPANS LOGS`, of about 1 and 0.5 KB each."""

import os
import sys

from opentelemetry import trace
from opentelemetry._logs import get_logger

import taskscope

taskscope.configure()
spans, logs = map(int, sys.argv[1:])
for _ in range(spans):
    with taskscope.step("other"), trace.get_tracer("chatty").start_as_current_span("fat") as span:
        span.set_attribute("text", os.urandom(1000).hex())
for _ in range(logs):
    get_logger("chatty").emit(body=os.urandom(500).hex())
assert taskscope.flush(60)
taskscope.shutdown(timeout=10)
sys.stdout.write("{}\n")
