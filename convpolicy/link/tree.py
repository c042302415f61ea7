"""Publish-subscribe: one root says, any number of leaves hear it, through as many relays as it takes.

A `Tree` is a value, the same on both sides. What it needs of ZeroMQ is in `treeport`, what it carries and how it
mends losses in `runtime.tree`.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Literal, Self, TypeAlias

from convpolicy.errors import LinkError, WiringError
from convpolicy.link.budget import FAN_OUT, MEMORY, QUEUE, Budget
from convpolicy.link.port import Guarantees, Link, Port
from convpolicy.link.treeport import LeafPort, RootPort, open_leaf, open_root
from convpolicy.policy.model import Role
from convpolicy.verify.links.carrier import Carrier, Players
from convpolicy.wire.tree import LARGEST_TOPIC

__all__ = ["Slow", "Tree"]

Slow: TypeAlias = Literal["resnapshot", "conflate", "cut off"]

_ADDRESS = re.compile(r"tcp://[^/\s]+:\d+\Z|(ipc|inproc)://\S+\Z")


class Tree(Link):
    """A publish-subscribe link at `url`: the player of `root` listens there, and the leaves connect to it.

    The address is `tcp://host:port`, `ipc:///path` or `inproc://name`; the back channel, by which leaves ask for
    what they have missed, takes the next port (or the path, or the name, with `.back`). A leaf may be given the
    address of a relay as well as the root's.

    `topic` is what the conversation is about: leaves hear only the topic that they ask for, and every topic is a
    conversation of its own. `tree.on("sport")` is the same tree with another topic.

    The root keeps the last `keep` messages of a topic, at most `keep_bytes`, to say them again. A leaf whose
    program does not take its messages holds at most `waiting` of them. What happens then is `slow`: "resnapshot"
    gives them up and enters anew, "conflate" always keeps only the newest round that is whole, "cut off" ends the
    leaf's conversation. `at_most=(3, 7 * 86_400)` hears three rounds in a week and no more. Whatever a leaf does
    not hear is delivered to it as a `Gap`.

    The root has room for `readers` leaves, and for `fan_out` leaves and relays that are connected to it itself;
    whoever comes then gets `TreeFull`. For each connection `queue` frames may wait; what is more is dropped, and said
    again. `budget` is how many bytes that can be; the root does not start when it is more than `memory`.
    """

    def __init__(
        self,
        url: str,
        *,
        root: Role[Any, Any],
        topic: str = "",
        keep: int = 1_000,
        keep_bytes: int = 4 * 1024 * 1024,
        waiting: int = 1_000,
        slow: Slow = "resnapshot",
        at_most: tuple[int, float] | None = None,
        readers: int = 10_000,
        fan_out: int = FAN_OUT,
        queue: int = QUEUE,
        memory: int = MEMORY,
    ) -> None:
        if not _ADDRESS.match(url) or int(url.rpartition(":")[2] if url.startswith("tcp:") else 0) >= 65_535:
            raise LinkError(
                f"{url!r} is not an address of a tree.\n"
                f"  Use one such as tcp://127.0.0.1:6000 (the next port is used too), ipc:///path/to/socket or "
                f"inproc://name."
            )
        if min(keep, keep_bytes, waiting, readers) < 1 or (at_most is not None and (at_most[0] < 1 or at_most[1] <= 0)):
            raise LinkError(
                f"a tree keeps at least one message, lets one wait, and hears one in a time: keep={keep}, "
                f"keep_bytes={keep_bytes}, waiting={waiting}, readers={readers}, "
                f"at_most={at_most}.\n  Give counts of 1 or more."
            )
        self._url, self.root = url, root
        self.keep, self.keep_bytes, self.waiting = keep, keep_bytes, waiting
        self.slow: Slow = slow
        self.at_most = at_most
        self.topic = _topic(topic)
        self.readers = readers
        self._budget = Budget(fan_out, queue, memory)

    def on(self, topic: str) -> Self:
        """Return the same tree with another topic.

        Raises:
            LinkError: the topic is longer than 128 bytes, or has a zero byte in it.
        """
        other = copy.copy(self)
        other.topic = _topic(topic)
        return other

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def guarantees(self) -> Guarantees:
        """What the root says keeps its order; nothing travels back."""
        return Guarantees(ordered=True, answers=False)

    def between(self, sender: str, receiver: str) -> Carrier | None:
        """Say how it carries what the root says: to every player, early or late. Nothing else is carried."""
        if sender != self.root.name or receiver == sender:
            return None
        return Carrier(repr(self), ordered=True, answers=False, players=Players.EACH)

    def open(self, *, listen: bool) -> Port:  # noqa: ARG002 - as every link
        """Refuse: a tree has no end that both sends and receives."""
        raise WiringError(
            f"{self} carries what {self.root.name} says to all, and is not played like a link between two.\n"
            f"  Take part with `policy.join(role, via=tree)`, `policy.player(role, via=tree)` or a service."
        )

    @property
    def fan_out(self) -> int:
        """How many leaves and relays may be connected to the root itself."""
        return self._budget.fan_out

    @property
    def budget(self) -> int:
        """How many bytes the root may need for its connections, when all are slow: fan-out x queue x largest frame."""
        return self._budget.bytes

    def open_root(self) -> RootPort:
        """Open the root's end.

        Raises:
            LinkError: the address cannot be used, or the budget is more than `memory`.
        """
        self._budget.ensure(f"the root of {self}")
        return open_root(self._url, self._budget.queue)

    def open_leaf(self) -> LeafPort:
        """Open a leaf's end. Raises LinkError."""
        return open_leaf(self._url)

    def __repr__(self) -> str:
        return f"Tree({self._url!r}, root={self.root.name})"


def _topic(topic: str) -> str:
    if len(topic.encode()) > LARGEST_TOPIC or "\0" in topic:
        raise LinkError(f"{topic[:20]!r}… is no topic.\n  Use a name of at most {LARGEST_TOPIC} bytes, without \\0.")
    return topic
