"""Taking part in conversations over a tree: one with `join`, on many topics over one connection with a `TreePlayer`."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Generic, Self, TypeVar

from convpolicy.conversation import Conversation
from convpolicy.errors import PolicyMismatch, WiringError
from convpolicy.link.tree import Tree
from convpolicy.runtime.part import Part, difference
from convpolicy.runtime.tree.leafscript import LeafScript
from convpolicy.runtime.tree.plan import Plan
from convpolicy.runtime.tree.publisher import Publisher
from convpolicy.runtime.tree.rootscript import RootScript
from convpolicy.runtime.tree.script import TreeScript
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.wire.tree import Mismatch, stream_name

__all__ = ["TreeJoining", "TreePlayer"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)

_ID = 16  # random bytes that name a conversation of the root, and a reader


class _Root(Generic[Sends, Receives]):
    """The root's end: every topic is a conversation that it begins."""

    def __init__(self, part: Part, plan: Plan, tree: Tree) -> None:
        self._part = part
        self._port = tree.open_root()
        self.url = self._port.url
        self._scripts: dict[str, RootScript[Sends, Receives]] = {}
        self._publisher = Publisher(
            self._port,
            plan.leaves,
            policy=(part.policy, part.fingerprint, plan.text),
            clock=asyncio.get_running_loop().time,
            changed=self._changed,
            keep=tree.keep,
            keep_bytes=tree.keep_bytes,
        )
        self.shell = Shell(self._port, self._publisher)

    def _changed(self) -> None:
        for script in self._scripts.values():
            script.changed()

    def script(self, tree: Tree) -> TreeScript[Sends, Receives]:
        """Begin a conversation on the tree's topic."""
        topic = tree.topic
        if self._publisher.streams(topic):
            raise WiringError(_twice(self._part.role, topic))
        now = asyncio.get_running_loop().time()
        conversation = Conversation(self._part.table, os.urandom(_ID), now=now)
        script = RootScript[Sends, Receives](self._part, self._publisher, self.shell, conversation, topic)
        self._scripts[topic] = script
        return script

    def statistics(self) -> dict[str, int]:
        return dict(self._publisher.counts)


class _Leaf(Generic[Sends, Receives]):
    """A leaf's end: every topic is a stream that it follows."""

    def __init__(self, part: Part, plan: Plan, tree: Tree, lost_after: float) -> None:
        self._part, self._leaf, self._text = part, plan.leaves[part.role], plan.text
        self._port = tree.open_leaf()
        self.url = self._port.url
        self._subscriber = Subscriber(
            self._port,
            root=plan.root,
            mismatch=self._mismatch,
            clock=asyncio.get_running_loop().time,
            lost_after=lost_after,
        )
        self.shell = Shell(self._port, self._subscriber)

    def _mismatch(self, answer: Mismatch) -> PolicyMismatch:
        differs = difference(self._text, answer.text)
        return PolicyMismatch(self._part.policy, self._part.fingerprint.hex(), answer.fingerprint.hex(), differs)

    def script(self, tree: Tree) -> TreeScript[Sends, Receives]:
        """Begin to follow the tree's topic."""
        if self._subscriber.follows(stream_name(self._part.role, tree.topic)):
            raise WiringError(_twice(self._part.role, tree.topic))
        now = asyncio.get_running_loop().time()
        return LeafScript(
            self._part,
            self._leaf,
            tree,
            subscriber=self._subscriber,
            shell=self.shell,
            reader=os.urandom(_ID),
            now=now,
        )

    def statistics(self) -> dict[str, int]:
        return dict(self._subscriber.counts)


def _twice(role: str, topic: str) -> str:
    about = f"the topic {topic!r}" if topic else "the tree"
    return f"{role} takes part in a conversation on {about} already.\n  Leave it first, or take another topic."


class TreePlayer(Generic[Sends, Receives]):
    """Plays a role over a tree on any number of topics, over one connection.

    `async with policy.player(Publisher, via=tree) as publisher:` opens it, and
    `async with publisher.join("sport") as conversation:` takes part in the conversation on a topic.
    """

    def __init__(self, part: Part, plan: Plan, tree: Tree, *, lost_after: float) -> None:
        self._part, self._plan, self._tree, self._lost_after = part, plan, tree, lost_after
        self._end: _Root[Sends, Receives] | _Leaf[Sends, Receives] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Open the tree: the root listens, a leaf connects. Nothing is waited for; `ready` of a conversation does.

        Raises:
            LinkError: the address cannot be used.
        """
        if self._part.role == self._plan.root:
            self._end = _Root(self._part, self._plan, self._tree)
        else:
            self._end = _Leaf(self._part, self._plan, self._tree, self._lost_after)

    def close(self) -> None:
        """Close the tree. A root that goes without having left its conversations is missed by its leaves."""
        if self._end is not None:
            self._end.shell.close()

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._opened.url

    def join(self, topic: str | None = None) -> TreeJoining[Sends, Receives]:
        """Take part in the conversation on a topic: `async with player.join("sport") as conversation:`.

        Without one it is the topic of the tree.
        """
        return TreeJoining(self, self._tree if topic is None else self._tree.on(topic), close=False)

    def script(self, tree: Tree) -> TreeScript[Sends, Receives]:
        """Begin what `join` takes part in."""
        return self._opened.script(tree)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return self._opened.statistics()

    @property
    def _opened(self) -> _Root[Sends, Receives] | _Leaf[Sends, Receives]:
        if self._end is None:
            raise WiringError("the tree is not open.\n  Use the player in `async with`.")
        return self._end


class TreeJoining(Generic[Sends, Receives]):
    """What `join` over a tree returns: `async with` it to take part in one conversation."""

    def __init__(self, player: TreePlayer[Sends, Receives], tree: Tree, *, close: bool) -> None:
        self._player, self._tree, self._close = player, tree, close
        self._script: TreeScript[Sends, Receives] | None = None

    async def __aenter__(self) -> TreeScript[Sends, Receives]:
        if self._script is not None:
            raise WiringError("this conversation was joined already.\n  Call join() again for another one.")
        if self._close:
            self._player.start()
        try:
            self._script = self._player.script(self._tree)
        except BaseException:
            if self._close:
                self._player.close()
            raise
        return self._script

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._script is not None:
                await self._script.leave(error)
        finally:
            if self._close:
                self._player.close()
