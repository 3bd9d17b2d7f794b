"""How fast requests are put: how many at once, when again after a failure, and when to stop trying."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from truing.core.errors import Exit, TruingError
from truing.core.seeds import stream
from truing.judges.requests import TransportError

# Too many requests, out of capacity (503, and 529 as some endpoints say it).
_BUSY = (429, 503, 529)
# Statuses that are about one request: too long, not allowed to be said, not to be processed. The next may pass.
_OWN_FAULT = (400, 403, 413, 422)
# How much faster each reply lets the run go, after a server asked for less: a limit L grows by a quarter in the time of L replies.
_GROWTH = 0.25


@dataclass(frozen=True)
class Patience:
    """How often and how long to try.

    Attributes:
        attempts: Most times that one request is put.
        base_s: Wait before the second attempt, at most; doubled before each further one.
        longest_s: Longest wait of our own.
        longest_asked_s: Longest wait that a server can ask for; a request that would have to wait longer fails.
        give_up_after: Requests that fail one after another, none answered between them, before the run stops.
    """

    attempts: int = 6
    base_s: float = 0.5
    longest_s: float = 30.0
    longest_asked_s: float = 300.0
    give_up_after: int = 20

    def wait(self, attempt: int, error: TransportError, root_seed: int, name: str) -> float | None:
        """Seconds until the next attempt; None when there is none.

        A server's own Retry-After is a lower bound. Without one, the wait is uniform between half and all of an exponentially
        growing time, from a stream named by the request, so that requests that failed together do not return together.

        Args:
            attempt: The attempt that failed, from 1.
            error: How it failed.
            root_seed: Root of the streams.
            name: Of the request.
        """
        asked = error.retry_after or 0.0
        if not error.retryable or attempt >= self.attempts or asked > self.longest_asked_s:
            return None
        whole = min(self.longest_s, self.base_s * 2.0 ** (attempt - 1))
        own = whole * float(stream(root_seed, "judging", "wait", name, attempt).uniform(0.5, 1.0))
        return own if error.retry_after is None else asked + min(own, self.base_s)


class Gate:
    """Lets a number of requests through at once that adapts to the server: halved when it is busy, raised again by replies.

    Args:
        most: Most at once.

    Attributes:
        limit: How many may be open now; a fraction counts once it has grown to a whole.
    """

    def __init__(self, most: int) -> None:
        self.limit = float(most)
        self._most = most
        self._open = 0
        self._passed = 0
        self._slowed_at = 0
        self._not_before = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> int:
        """Wait for a place, first come first served, and for any pause that the server asked for; return a ticket for `leave`."""
        loop = asyncio.get_running_loop()
        if self._waiting or self._open >= int(self.limit):
            place = loop.create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.abandon()
                raise
        else:
            self._open += 1
        try:
            while (pause := self._not_before - loop.time()) > 0:
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            self.abandon()
            raise
        self._passed += 1
        return self._passed

    def leave(self, ticket: int, error: TransportError | None) -> None:
        """Give the place back, and learn from how the request went."""
        self._open -= 1
        if error is None:
            self.limit = min(float(self._most), self.limit + _GROWTH)
        elif error.status in _BUSY:
            self._slow(ticket, error.retry_after)
        self._wake()

    def abandon(self) -> None:
        """Give a place back that was not used to the end."""
        self._open -= 1
        self._wake()

    def _slow(self, ticket: int, pause: float | None) -> None:
        # Those let through before the last reduction say nothing of the pace since.
        if ticket > self._slowed_at:
            self.limit = max(1.0, self.limit / 2)
            self._slowed_at = self._passed
        if pause is not None:
            self._not_before = max(self._not_before, asyncio.get_running_loop().time() + pause)

    def _wake(self) -> None:
        """Hand free places to those that have waited longest."""
        while self._waiting and self._open < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self._open += 1
                place.set_result(None)


class Outage:
    """Counts requests that fail one after another, and ends a run that gets no answers.

    Args:
        after: How many.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._failed = 0

    def answered(self) -> None:
        """A reply arrived."""
        self._failed = 0

    def failed(self, error: TransportError) -> None:
        """A request failed for good.

        Raises:
            TruingError: when too many did.
        """
        if error.status in _OWN_FAULT or (error.status is None and not error.retryable):
            return
        self._failed += 1
        if self._failed >= self._after:
            raise TruingError(
                f"the last {self._failed} requests failed, none was answered between them; the last: {error}",
                "an endpoint that answers",
                "check the judge's base_url, model and key, then run again: what was answered is kept and costs nothing",
                Exit.FAILED,
            )
