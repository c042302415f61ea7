"""The root's end of a tree in a wiring: one conversation at a time, and whoever waits for it hears it whole."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from convpolicy.link.tree import Tree
from convpolicy.runtime.part import Part
from convpolicy.runtime.tree.census import Census
from convpolicy.runtime.tree.plan import Plan
from convpolicy.runtime.tree.publisher import Publisher
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.stream import FORGOTTEN_AFTER, Stream
from convpolicy.wire.tree import Bye, Downward, Entry, Here, Join, Later, Upward

__all__ = ["RootEnd"]


class _Waiting(Publisher):
    """A publisher that remembers who had come before there was anything to hear."""

    def __init__(self, *arguments: Any, room: int, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._room = room
        self._early: dict[bytes, tuple[float, int]] = {}  # when each was last heard, and for how many it hears

    @property
    def early(self) -> int:
        """How many players wait for something to begin."""
        self._forget()
        return sum(many for _, many in self._early.values())

    def _forget(self) -> None:
        now = self._clock()
        self._early = {reader: one for reader, one in self._early.items() if now - one[0] < FORGOTTEN_AFTER}

    def _answers(self, request: Upward, now: float) -> list[Downward]:
        if isinstance(request, Here | Bye):
            self._early.pop(request.reader, None)
        return super()._answers(request, now)

    def _waits(self, request: Join, now: float) -> bool:
        """Note who waits, where there is room."""
        if request.reader not in self._early and len(self._early) >= self._room:
            self._forget()
            if len(self._early) >= self._room:
                return False
        self._early[request.reader] = now, request.many
        return True

    def _admit(self, request: Join, stream: Stream | None, now: float) -> Downward:
        if stream is None or (stream.over and request.epoch != stream.epoch):
            answer = super()._admit(request, None, now)
            if isinstance(answer, Later) and self._waits(request, now):
                self._changed()
            return answer
        answer = super()._admit(request, stream, now)
        if isinstance(answer, Entry) and request.reader in self._early and not request.epoch:
            return Entry(answer.stream, answer.question, answer.epoch, 0, 0)
        return answer


class RootEnd:
    """Publishes conversations, one after the other, on the topic of `tree`."""

    def __init__(self, part: Part, plan: Plan, tree: Tree) -> None:
        self._topic = tree.topic
        port = tree.open_root()
        self.url = port.url
        self._changed = asyncio.Event()
        self._epoch = b""
        self._publisher = _Waiting(
            port,
            plan.leaves,
            policy=(part.policy, part.fingerprint, plan.text),
            clock=asyncio.get_running_loop().time,
            changed=self._changed.set,
            keep=tree.keep,
            keep_bytes=tree.keep_bytes,
            census=Census(tree.readers, tree.fan_out),
            room=tree.readers,
        )
        self._shell = Shell(port, self._publisher)

    @property
    def busy(self) -> bool:
        """Whether a conversation is under way, so that no other one can begin."""
        return any(not stream.over for stream in self._publisher.streams(self._topic))

    def open(self, epoch: bytes) -> None:
        """Begin a conversation with all leaves."""
        self._epoch = epoch
        self._publisher.open(self._topic, epoch)
        self._shell.wake()

    def say(self, role: str, label: int, payload: bytes) -> None:
        """Say a message to every leaf of a role."""
        self._publisher.say(role, self._topic, label, payload)
        self._shell.wake()

    def end(self, epoch: bytes, reason: str) -> None:
        """Say that nothing follows; with a `reason` it was broken off."""
        if epoch == self._epoch:
            self._publisher.end(self._topic, reason)
            self._shell.wake()

    @property
    def subscribers(self) -> int:
        """How many leaves hear the tree, or wait for it to begin."""
        streams = [stream for stream in self._publisher.streams(self._topic) if not stream.over]
        return sum(stream.live for stream in streams) if streams else self._publisher.early

    async def ready(self, subscribers: int) -> None:
        """Wait until so many leaves hear the tree, or wait for it to begin."""
        while self.subscribers < subscribers:
            self._changed.clear()
            await self._changed.wait()

    async def heard_out(self, within: float | None) -> None:
        """Wait until every leaf has all that was said, at most `within` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not all(stream.heard_out for stream in self._publisher.streams(self._topic)):
                    self._changed.clear()
                    await self._changed.wait()

    def close(self) -> None:
        """Close the tree."""
        self._shell.close()
