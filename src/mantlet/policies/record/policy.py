"""Exactly one audit record a request, written before its answer is handed back (AUD-01, AUD-02).

A streaming answer is recorded at its head, before the first byte. What could not be acknowledged is not begun: while
the journal is not able, nothing goes onward. Figures are counted for everything, recorded or not.
"""

from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.ports import Journal
from mantlet.core.record import Record, Trail
from mantlet.core.refusal import AuditUnavailable, Refusal
from mantlet.core.stream import aclose
from mantlet.policies.record import outcome
from mantlet.policies.record.stream import CountedStream


class Meter(Protocol):
    """Where figures go. Every method is cheap and never raises."""

    in_flight: int

    def ended(self, record: Record, /) -> None:
        """A request ended as `record` says."""
        ...

    def unrecorded(self) -> None:
        """A record was lost, and work went on because the configuration says so."""
        ...

    def stream_began(self, trail: Trail, /) -> None:
        """An answer began to stream."""
        ...

    def stream_ended(self, trail: Trail, duration_s: float, sent_bytes: int, /) -> None:
        """It ended."""
        ...


class RecordPolicy:
    """The outermost policy on `Arrival`.

    `must_record`: a request whose record cannot be written is answered with `AuditUnavailable`, and not begun where
    that is known before. Without it (never in production) work goes on and the loss is counted.
    `watch` sees every refusal, those of listeners too, and must not raise.
    """

    def __init__(
        self,
        journal: Journal,
        meter: Meter,
        clock: Clock,
        *,
        environment: outcome.Environment = "production",
        must_record: bool = True,
        watch: Callable[[Trail, Refusal], None] | None = None,
    ) -> None:
        self._journal = journal
        self._meter = meter
        self._now = clock.monotonic
        self._watch = watch
        self._environment: outcome.Environment = environment
        self._must_record = must_record or environment == "production"

    async def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """Refusals are raised again once recorded; an error nobody expected becomes a plain `Refusal`."""
        trail = arrival.trail
        began_s = self._now()
        if self._must_record and not self._journal.is_able:
            unable = AuditUnavailable(why="the audit trail cannot be written")
            self._meter.ended(outcome.refused(trail, unable, 0.0, self._environment))
            raise unable
        self._meter.in_flight += 1
        try:
            reply = await onward(arrival)
        except Refusal as refusal:
            if self._watch is not None:
                self._watch(trail, refusal)
            await self._write(outcome.refused(trail, refusal, self._now() - began_s, self._environment))
            raise
        except CancelledError:
            self._leave(outcome.left(trail, self._now() - began_s))
            raise
        except Exception as error:  # the outermost step: here it refuses (ERR-02)
            await self._write(outcome.failed(trail, error, self._now() - began_s))
            raise Refusal(why=type(error).__name__) from error
        finally:
            self._meter.in_flight -= 1
        record = outcome.answered(trail, reply.status, self._now() - began_s)
        if isinstance(reply.body, bytes):
            await self._write(record)
        else:
            reply.body = await self._write_head(record, reply.body, began_s)
        return reply

    async def refused(self, trail: Trail, refusal: Refusal) -> None:
        """Record what a listener refused before there was an `Arrival`.

        Raises `AuditUnavailable`: then that is the answer.
        """
        if self._watch is not None:
            self._watch(trail, refusal)
        await self._write(outcome.refused(trail, refusal, 0.0, self._environment))

    def unanswered(self, trail: Trail, refusal: Refusal) -> None:
        """Record a connection that a listener closed without a word: there is nothing to acknowledge."""
        if self._watch is not None:
            self._watch(trail, refusal)
        self._leave(outcome.refused(trail, refusal, 0.0, self._environment))

    async def _write_head(self, record: Record, chunks: AsyncIterator[bytes], began_s: float) -> CountedStream:
        try:
            await self._write(record)
        except BaseException:  # cancelled too: nobody else can close the stream any more
            await aclose(chunks)
            raise
        trail, meter, now = record.trail, self._meter, self._now
        meter.stream_began(trail)
        return CountedStream(chunks, lambda sent_bytes: meter.stream_ended(trail, now() - began_s, sent_bytes))

    async def _write(self, record: Record) -> None:
        try:
            await self._journal.append(record)
        except AuditUnavailable as unable:
            if self._must_record:
                self._meter.ended(outcome.refused(record.trail, unable, record.duration_s, self._environment))
                raise
            self._meter.unrecorded()
        self._meter.ended(record)

    def _leave(self, record: Record) -> None:
        # Queued and not waited for: whoever is cancelled does not wait, and nobody is there to acknowledge to.
        try:
            self._journal.append(record)
        except AuditUnavailable:
            self._meter.unrecorded()
        self._meter.ended(record)
