"""The alarm: `python alarm.py [BUS] [TREE] [--every SECONDS]` is silent until a conversation needs somebody.

Then it sounds for every viewer, again and again, until the conversation goes on or is over.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import cast

from messages import Alarm, Happened, Leave, Look, NoMoreAlarms, Overdue, Settled, Silent, arguments, watch
from observing import run

from convpolicy import Dialogue

alarm = watch.service(Alarm)
every = 5.0  # seconds
alarms: dict[str, tuple[Happened, float]] = {}  # what is not settled, and since when
news: set[asyncio.Event] = set()  # of every viewer: something has changed


def notice(happened: Happened) -> None:
    """Raise an alarm, or take it back."""
    if happened.what in {"overdue", "silent"}:
        alarms[happened.conversation] = happened, monotonic() - happened.seconds
    elif alarms.pop(happened.conversation, None) is None:
        return
    for viewer in news:
        viewer.set()


def pulse(happened: Happened, since: float) -> Overdue | Silent:
    """Return what is said of a conversation while it needs somebody."""
    if happened.what == "overdue":
        return Overdue(happened.conversation, "Seller", " or ".join(happened.owes))
    return Silent(happened.conversation, round(monotonic() - since))


@alarm.on(Look)
async def guard(look: Look, conversation: Dialogue[object]) -> AsyncIterator[Overdue | Silent | Settled | NoMoreAlarms]:
    """Sound at once, and again and again, until the viewer leaves."""
    print(f"Alarm received {look}", flush=True)
    changed = conversation.data["changed"] = asyncio.Event()
    news.add(changed)
    sounding: set[str] = set()
    try:
        while "leaves" not in conversation.data:
            changed.clear()
            for settled in sounding - alarms.keys():
                yield Settled(settled)
            sounding = set(alarms)
            for happened, since in tuple(alarms.values()):
                yield pulse(happened, since)
            try:
                await asyncio.wait_for(changed.wait(), every if alarms else None)
            except TimeoutError:
                continue
        yield NoMoreAlarms()
    finally:
        news.discard(changed)


@alarm.on(Leave)
def stop(leave: Leave, conversation: Dialogue[object]) -> None:
    """Have the alarms end."""
    print(f"Alarm received {leave}", flush=True)
    conversation.data["leaves"] = True
    cast("asyncio.Event", conversation.data["changed"]).set()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--every", type=float, default=every)
    given = parser.parse_args()
    every = given.every
    run(alarm, notice, given.address, given.tree)
