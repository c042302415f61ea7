"""The two ends of a tree that a process can hold: the root's, and a leaf's; each carries any number of topics."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

from convpolicy.conversation import Conversation
from convpolicy.errors import PolicyMismatch, WiringError
from convpolicy.link.tree import Tree
from convpolicy.runtime.part import Part, difference
from convpolicy.runtime.tree.census import Census
from convpolicy.runtime.tree.leafscript import LeafScript
from convpolicy.runtime.tree.plan import Plan
from convpolicy.runtime.tree.publisher import Publisher
from convpolicy.runtime.tree.rootscript import RootScript
from convpolicy.runtime.tree.shell import Shell
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.wire.bundles import Bundles
from convpolicy.wire.tree import Mismatch, stream_name

__all__ = ["LeafEnd", "RootEnd"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)

_ID = 16  # random bytes that name a conversation of the root, and a reader


class RootEnd(Generic[Sends, Receives]):
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
            census=Census(tree.readers, tree.fan_out),
        )
        self.shell = Shell(self._port, self._publisher)

    def _changed(self) -> None:
        for script in self._scripts.values():
            script.changed()

    def script(self, tree: Tree) -> RootScript[Sends, Receives]:
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
        """Return counts since the start."""
        return dict(self._publisher.counts)


class LeafEnd(Generic[Sends, Receives]):
    """A leaf's end: every topic is a stream that it follows."""

    def __init__(self, part: Part, plan: Plan, tree: Tree, lost_after: float) -> None:
        self._part, self._leaf, self._text = part, plan.leaves[part.role], plan.text
        self._bundles = tuple(map(Bundles, part.codecs))
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

    def script(self, tree: Tree, past: AbstractSet[bytes] = frozenset()) -> LeafScript[Sends, Receives]:
        """Begin to follow the tree's topic; with `past` conversations, the next one that is not among them."""
        if self._subscriber.follows(stream_name(self._part.role, tree.topic)):
            raise WiringError(_twice(self._part.role, tree.topic))
        now = asyncio.get_running_loop().time()
        return LeafScript(
            self._part,
            self._leaf,
            tree,
            subscriber=self._subscriber,
            shell=self.shell,
            bundles=self._bundles,
            reader=os.urandom(_ID),
            past=past,
            now=now,
        )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return dict(self._subscriber.counts)


def _twice(role: str, topic: str) -> str:
    about = f"the topic {topic!r}" if topic else "the tree"
    return f"{role} takes part in a conversation on {about} already.\n  Leave it first, or take another topic."
