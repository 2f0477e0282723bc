"""`python -m taskscope`, the same as `taskscope`."""

from __future__ import annotations

import sys

from taskscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
