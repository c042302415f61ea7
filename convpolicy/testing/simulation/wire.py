"""What can be seen on the wire alone: every frame that is handed over, and every frame that arrives, taken apart.

Nobody is asked here what they think they have sent or received. So what the conversations say of themselves can be
held against it: a message that is sent again is the same to the byte, and nobody acknowledges what has not come.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from convpolicy.conversation import Envelope
from convpolicy.testing.simulation.process import Process
from convpolicy.wire.frame import Acknowledged, Item, Malformed, decode

__all__ = ["Passed", "Wire"]

Channel = tuple[bytes, int, int]  # conversation, from, to


_Key = tuple[str, bytes, int, int]  # process, conversation, from, to


class Passed(NamedTuple):
    """A message as it was first handed over."""

    label: int
    payload: bytes
    rounds: tuple[int, ...]  # of the blocks around it that may be interrupted; () in the first ones
    by: Process


class Wire:
    """Everything that was seen. `wrong` is told of what must not be: the rule, in words, and the conversation.

    Where processes are `durable`, what has come counts for nothing before a commit; but for what comes so late that it
    is `dropped`, by a process, in a conversation.
    """

    def __init__(
        self,
        wrong: Callable[[str, bytes], None],
        *,
        durable: bool = False,
        dropped: Callable[[str, bytes], bool] | None = None,
    ) -> None:
        self._wrong, self._durable, self._dropped = wrong, durable, dropped
        self.said: dict[Channel, dict[int, Passed]] = {}
        self.lied: set[bytes] = set()  # conversations in which somebody said what it may not
        self.replayed: set[bytes] = set()  # conversations in which two processes have spoken for one role
        self._came: dict[_Key, set[int]] = {}
        self._fresh: dict[str, list[tuple[_Key, int]]] = {}

    def lies(self, frame: bytes, other: bytes) -> None:
        """Note that one frame went on as another one."""
        for item in (*taken_apart(frame), *taken_apart(other)):
            if isinstance(item, Envelope | Acknowledged):
                self.lied.add(item.conversation)

    def passed(self, sender: Process, frame: bytes) -> None:
        """Look at a frame that a player hands over; what a bus passes on was seen before."""
        for item in taken_apart(frame):
            if type(item) is Envelope:
                self._message(sender, item)
                self._acknowledges(sender, item.conversation, item.sender, item.receiver, item.ack)
            elif type(item) is Acknowledged:
                self._acknowledges(sender, item.conversation, item.sender, item.receiver, item.upto)

    def arrived(self, receiver: Process, frame: bytes) -> None:
        """Look at a frame that comes to a process."""
        for item in taken_apart(frame):
            if type(item) is Envelope:
                key = (receiver.name, item.conversation, item.sender, item.receiver)
                self._fresh.setdefault(receiver.name, []).append((key, item.seq))
        if not self._durable or not receiver.plays:
            self.committed(receiver.name)

    def committed(self, name: str) -> None:
        """Whatever has come to a process may be acknowledged now."""
        for key, seq in self._fresh.pop(name, ()):
            self._came.setdefault(key, set()).add(seq)

    def gone(self, name: str) -> None:
        """What had come to a process that is gone, and was not committed, has not come."""
        self._fresh.pop(name, None)

    def _message(self, who: Process, envelope: Envelope) -> None:
        channel = self.said.setdefault((envelope.conversation, envelope.sender, envelope.receiver), {})
        message = Passed(envelope.label, bytes(envelope.payload), envelope.rounds or (), who)
        before = channel.setdefault(envelope.seq, message)
        if before.by is not who and not (self._durable and before.by.name == who.name):
            self.replayed.add(envelope.conversation)
        elif before[:3] != message[:3] and envelope.conversation not in self.lied:
            self._wrong(f"message {envelope.seq} is sent again with other bytes", envelope.conversation)

    def _acknowledges(self, who: Process, conversation: bytes, role: int, other: int, upto: int) -> None:
        came = self._came.get((who.name, conversation, other, role), set())
        told = came.issuperset(range(1, upto + 1)) or conversation in self.lied
        late = self._durable and self._dropped is not None and self._dropped(who.name, conversation)
        if not told and not late:
            self._wrong(f"{who.name} acknowledges message {upto}, which has not come", conversation)


@lru_cache(maxsize=512)
def taken_apart(frame: bytes) -> tuple[Item, ...]:
    """Return the items of a frame, none of one that is malformed."""
    try:
        return tuple(decode(frame))
    except Malformed:
        return ()
