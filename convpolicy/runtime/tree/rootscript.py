"""The root's side of a conversation over a tree: it says, and is never held up.

A loop says one message after the other: each leads to the state before it, and nothing has to be looked at but that
it fits its declaration. Such a message goes the short way, and the conversation catches up once a frame, or when
somebody looks at it. Every other one is said as `Conversation` says it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from convpolicy.conversation import Conversation, name_of
from convpolicy.errors import Aborted, ConversationError, PayloadError, Unfinished, one_of
from convpolicy.policy.model import Role
from convpolicy.runtime.part import Part
from convpolicy.runtime.tree.cache import BATCH_BYTES
from convpolicy.runtime.tree.publisher import Publisher
from convpolicy.runtime.tree.script import TreeScript
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.stream import Stream
from convpolicy.table import Node, Step
from convpolicy.wire.arrays import beginning, split
from convpolicy.wire.bundles import Bundles, in_a_row
from convpolicy.wire.tree import LARGEST_SAID

__all__ = ["LEAVE_WITHIN", "RootScript"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)

LEAVE_WITHIN = 5.0  # seconds that the root stays for leaves that do not have everything yet


class _Way(NamedTuple):
    """How a message is said that leads to the state before it: the step, and the stream of the role that hears it."""

    step: Step
    stream: Stream


class RootScript(TreeScript[Sends, Receives]):
    """The root in one conversation, on one topic."""

    def __init__(self, part: Part, publisher: Publisher, shell: Shell, conversation: Conversation, topic: str) -> None:
        super().__init__(shell.check, topic)
        self._part, self._publisher, self._shell = part, publisher, shell
        self._bundles = tuple(map(Bundles, part.codecs))
        self._conversation = conversation
        self._deadline: asyncio.TimerHandle | None = None
        self._left = False
        publisher.open(topic, conversation.id)
        self._streams = {stream.role: stream for stream in publisher.streams(topic)}
        self._node: Node | None = None  # the state that `_ways` are for
        self._ways: dict[type, _Way] = {}
        self._behind: list[Step] = []  # said, and not taken by the conversation yet
        self._find_ways()
        shell.wake()
        self._watch_time()

    def _say(self, message: Sends, to: Role[Any, Any] | None = None) -> bool:
        self._check()
        way = self._ways.get(type(message)) if to is None else None
        if way is None:
            return self._say_carefully(message, to)
        payload = self._pack(way.step, message)
        self._behind.append(way.step)
        went_out = self._publisher.put(way.stream, way.step.index, payload)
        self._shell.wake()
        if went_out:
            self._caught_up()
        return went_out

    def _say_all(self, messages: Sequence[Sends]) -> bool:
        self._check()
        went_out = False
        for together in in_a_row(messages) if messages else ():
            said = self._say_together(together)
            if said is None:
                went_out |= super()._say_all(together)
            else:
                went_out |= said
        return went_out

    def _say_together(self, messages: Sequence[Sends]) -> bool | None:
        """Say messages of one kind that go the short way; None when they do not, or one of them does not fit."""
        way = self._ways.get(type(messages[0]))
        if way is None:
            return None
        try:
            packed = self._bundles[way.step.index].pack(messages)
        except PayloadError:
            return None
        pieces = _pieces(packed, len(messages))
        if any(len(payloads) > LARGEST_SAID for payloads, _ in pieces):
            return None
        self._behind += [way.step] * len(messages)
        went_out = [self._publisher.put(way.stream, way.step.index, *piece) for piece in pieces]
        self._shell.wake()
        if any(went_out):
            self._caught_up()
        return any(went_out)

    def _caught_up(self) -> Conversation:
        steps, self._behind = self._behind, []
        self._conversation.tell(steps)
        return self._conversation

    def _say_carefully(self, message: Sends, to: Role[Any, Any] | None) -> bool:
        if self._left:
            raise self._violation(f"{self.role} has left the conversation", name_of(message))
        if self._error is not None:
            raise self._error
        conversation, now = self._caught_up(), asyncio.get_running_loop().time()
        step = conversation.allows(name_of(message), None if to is None else to.name)
        packed = [(each, self._pack(each, message)) for each in conversation.together(step)]
        if step.effect is not None:
            conversation.vouch(step, self._part.codecs[step.index].unpack(packed[0][1]))
        went_out = [self._emit(each, payload, now) for each, payload in packed]
        self._find_ways()
        if self._part.timed:
            self._watch_time()
        if conversation.over:
            self._publisher.end(self.topic)
        self._shell.wake()
        return any(went_out)

    def _find_ways(self) -> None:
        """Find out which messages lead to the state that the conversation is in now, and are said without looking."""
        node = self._conversation.node
        if node is self._node:
            return
        self._node, self._ways = node, {}
        for label, step in node.sends.items() if node.easy and not self._part.timed else ():
            if step is None or step.node is not node or step.effect is not None or not isinstance(label, str):
                continue
            kind = self._part.codecs[step.index].label.type
            if kind is not None and self._conversation.together(step) == (step,):
                self._ways[kind] = _Way(step, self._streams[step.move.peer])

    def _pack(self, step: Step, message: object) -> bytes:
        payload = self._part.codecs[step.index].pack(message)
        if len(payload) > LARGEST_SAID:
            raise PayloadError(step.move.label, f"{len(payload)} bytes are more than the {LARGEST_SAID} of a message")
        return payload

    def _emit(self, step: Step, payload: bytes, now: float) -> bool:
        """Say a message to the leaves of one role; return whether it went out at once."""
        envelope = self._conversation.emit(step, payload, now=now)
        self._conversation.acknowledge(step.peer, envelope.seq)  # what leaves have is the stream's affair
        return self._publisher.say(step.move.peer, self.topic, step.index, payload)

    def _watch_time(self) -> None:
        """Set the timer for a message that has to be sent within a time."""
        if self._deadline is not None:
            self._deadline.cancel()
        due = self._conversation.deadline
        self._deadline = None if due is None else asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        if self._conversation.expire(asyncio.get_running_loop().time()):
            self._fail(self._conversation.error)

    def _fail(self, error: ConversationError | None) -> None:
        if error is None:
            return
        self._caught_up().error = error
        self._ways = {}
        self._publisher.end(self.topic, _reason(error))
        self._shell.wake()
        self.failed(error)

    def abort(self, reason: str) -> None:
        """See `TreeScript.abort`."""
        self._check()
        self._fail(Aborted(reason, by=self.role))

    async def leave(self, error: BaseException | None = None, *, within: float = LEAVE_WITHIN) -> None:
        """End the conversation, and stay until the leaves have everything, at most `within` seconds."""
        conversation = self._caught_up()
        owes = conversation.owes
        if self._deadline is not None:
            self._deadline.cancel()
        if error is not None and conversation.error is None:
            self.abort(f"{self.role} stopped: {type(error).__name__}")
        elif conversation.error is None and not conversation.final:
            self.abort(f"{self.role} left the conversation" + (f", still owing {one_of(owes)}" if owes else ""))
        self._ways = {}
        self._publisher.end(self.topic)
        self._shell.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._heard_out:
                    self._changed.clear()
                    await self._changed.wait()
        self._left = True
        self._publisher.close(self.topic)
        if owes and error is None:
            raise Unfinished(self.role, owes, conversation.history)

    @property
    def over(self) -> bool:
        """Whether the root has nothing more to say."""
        return self._conversation.over or self._error is not None

    @property
    def _heard_out(self) -> bool:
        return all(stream.heard_out for stream in self._publisher.streams(self.topic))

    # ---------------------------------------------------------------------------------- what it is asked

    @property
    def subscribers(self) -> int:
        """See `TreeScript.subscribers`."""
        return sum(stream.live for stream in self._publisher.streams(self.topic))

    def _is_ready(self, subscribers: int) -> bool:
        return self.subscribers >= subscribers

    def _unready(self, subscribers: int) -> str:
        return f"{self.subscribers} of {subscribers} subscribers came"

    def _take(self, wanted: set[str] | None) -> tuple[object] | None:  # noqa: ARG002
        return None

    def _ensure_possible(self, wanted: set[str] | None) -> None:
        raise self._violation(f"{self.role} never receives over a tree", one_of(wanted or ("a message",)))

    @property
    def _ended(self) -> bool:
        return True


def _reason(error: ConversationError) -> str:
    return error.reason if isinstance(error, Aborted) else str(error).partition("\n")[0]


def _pieces(packed: bytes, count: int) -> list[tuple[bytes, int]]:
    """Return the payloads of an array in one piece, when they fit into a frame together, else one by one."""
    if len(packed) <= BATCH_BYTES:
        return [(packed[len(beginning(count)) :], count)]
    return [(bytes(payload), 1) for payload in split(packed)]
