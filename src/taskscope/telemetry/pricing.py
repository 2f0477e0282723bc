"""Who says what a call of a model cost: chosen when a program is set up, asked when a call has ended.

Apart from the spans, which a program that only calls the OTel API never loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskscope.prices import Price

    from .usage import TokenUsage


class Pricer(Protocol):
    """Says what a call cost: `taskscope.prices.Prices.price`."""

    def __call__(
        self,
        provider: str,
        models: Sequence[str],
        base_url: str | None,
        usage: TokenUsage | None,
        /,
        *,
        operation: str,
    ) -> Price:
        """Return the price of a call of one of these models, as the provider calls them."""


_pricer: Pricer | None = None


def set_pricer(pricer: Pricer | None) -> None:
    """Choose who prices live calls; with None their cost is unknown for want of price data."""
    global _pricer  # noqa: PLW0603 - the one price list of the process
    _pricer = pricer


def find_pricer() -> Pricer | None:
    """Return who was chosen, if anybody."""
    return _pricer
