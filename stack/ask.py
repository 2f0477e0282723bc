#!/usr/bin/env python3
"""Asks URLs whether they are well: `ask URL ...`; exit code 1, and a line for each that is not.

The health check of containers: some images (Collector, Tempo) hold no program that could ask themselves.
It is copied into the image as it stands, so it needs nothing but Python.
"""

from __future__ import annotations

import http.client
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

SECONDS = 3.0
"""Less than the timeout of the health checks in docker-compose.yml, so that the answer is ours."""


def main(urls: list[str]) -> int:
    """Ask all at once; 0 when every one answers with 2xx, 2 when there is none to ask."""
    if not urls:
        sys.stderr.write("ask: name at least one URL\n")
        return 2
    with ThreadPoolExecutor(len(urls)) as pool:
        found = dict(zip(urls, pool.map(find_fault, urls), strict=True))
    faults = [f"{url}: {fault}" for url, fault in found.items() if fault]
    sys.stdout.writelines(f"{line}\n" for line in faults)
    return 1 if faults else 0


def find_fault(url: str) -> str:
    """Return what is wrong with a URL's answer, nothing when it is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows these addresses
    try:
        with opener.open(url, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
