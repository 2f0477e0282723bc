"""A sender of OTLP over HTTP that waits for each answer, as exporters do.

python -m benchmarks.loads.sender URL REQUESTS
"""

from __future__ import annotations

import gzip
import http.client
import itertools
import sys
import time
from urllib.parse import urlsplit

from taskscope.shipper.otlp import build_request
from taskscope.store.outbox import Entry

from ._answer import answer
from .store import SOURCE, make_task

_SPANS = 500
"""Of a request: five tasks; an SDK's batch has at most 512."""
_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


def main() -> None:
    """Answer how many spans were sent, and milliseconds of each request but the first."""
    url, requests = urlsplit(sys.argv[1]), int(sys.argv[2])
    connection = http.client.HTTPConnection(str(url.hostname), url.port)
    took = []
    for body in [_make_body(number) for number in range(requests + 1)]:
        began = time.perf_counter()
        connection.request("POST", "/v1/traces", body, _HEADERS)
        response = connection.getresponse()
        said = response.read()
        took.append((time.perf_counter() - began) * 1e3)
        if response.status != http.client.OK or said:
            sys.exit(f"answered {response.status} {said!r}")
    answer(spans=_SPANS * (requests + 1), spans_of_request=_SPANS, ms=took[1:])


def _make_body(number: int) -> bytes:
    tasks = [make_task(number * 5 + task, _SPANS // 5) for task in range(5)]
    spans = itertools.chain.from_iterable(tasks)
    entries = [Entry(seq, 1, span.body) for seq, span in enumerate(spans)]
    return gzip.compress(build_request(entries, lambda _: SOURCE), 3)


if __name__ == "__main__":
    main()
