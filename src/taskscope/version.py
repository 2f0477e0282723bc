"""The version, in the one place that the package is built from: to ask the installed metadata costs 20 ms."""

from typing import Final

VERSION: Final = "0.1.0"
