"""Connections on which no request comes in time are closed: uvicorn waits for the end of a head for ever.

Who sends a header's letter a minute would hold a connection, and with a thousand of them the service.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""In which the head of a request has to come, from the connection on or from the answer before."""


class HastyProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to waiting."""

    head_seconds = HEAD_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next head; one that came already is begun meanwhile."""
        self._stop_timer()
        before = self.cycle
        super().on_response_complete()
        if self.cycle is before and not self.transport.is_closing():
            self._expect_head()

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._give_up, self.cycle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self, last: Any) -> None:
        """Close, unless a request has come since the last one."""
        if self.cycle is last and not self.transport.is_closing():
            self.transport.close()
