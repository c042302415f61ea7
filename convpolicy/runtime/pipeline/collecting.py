"""A service that plays the last role of a pipeline: what is delivered is handled, and then counted.

Handlers run in the event loop, as on every other link.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.craft import Craft
from convpolicy.runtime.pipeline.lots import LOT, task_of
from convpolicy.runtime.pipeline.sink import Delivery, SinkEngine
from convpolicy.runtime.pipeline.stage import Handlers, Stage
from convpolicy.runtime.pipeline.volatile import VolatileSink
from convpolicy.runtime.pulse import Pulse

__all__ = ["Collecting"]


class Collecting(Stage[Any]):
    """The last role."""

    def __init__(self, part: Part, handlers: Handlers, via: Pipeline, lost_after: float) -> None:
        super().__init__(part, handlers)
        self._craft = Craft(part, handlers)
        self._engine = self._sink = self._opened(part, via, lost_after)
        self._pulse = Pulse(self._sink, self._ends)

    def _opened(self, part: Part, via: Pipeline, lost_after: float) -> SinkEngine:
        clock, handle = self._loop.time, self._handle
        if via.volatile:
            lanes = self._ends = via.lanes(part.role)
            return VolatileSink(
                part, via, lanes, clock=clock, new_id=os.urandom, handle=handle, lost_after=lost_after
            )  # fmt: skip
        ends = self._ends = via.ends(part.role)
        return SinkEngine(part, via, ends, clock=clock, new_id=os.urandom, handle=handle, lost_after=lost_after)

    def _handle(self, delivery: Delivery) -> None:
        item, goods = delivery.item, delivery.item.goods.of(delivery.mask)
        if self._async:
            for bit, parcel in goods.parcels():
                key = (item.batch, task_of(item.lot, bit), item.attempt)
                self._start(key, parcel, functools.partial(self._ended, delivery, bit))
            return
        work, finish = self._craft.begin(item.batch, item.lot, goods)
        work.do(LOT)
        for mask, outcome in finish(*work.take()):
            self._ended(delivery, mask, outcome)

    def _ended(self, delivery: Delivery, mask: int, result: object) -> None:
        if isinstance(result, Exception):
            key = (delivery.item.batch, task_of(delivery.item.lot, mask), delivery.item.attempt)
            self._sink.failed(delivery, mask, self._reason(key, result))
        else:
            self._sink.counted(delivery, mask)

    async def stop(self, *, drain: float = 5.0) -> None:
        """Take no more results, finish what is being handled for `drain` seconds, and close.

        A batch that is under way ends with `PeerLost` at the first role.
        """
        self._sink.draining = True
        await self._drained(drain)
        await self._close()
