"""Taking part in conversations over a tree: one with `join`, on many topics over one connection with a `TreePlayer`."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self, TypeVar

from convpolicy.errors import WiringError
from convpolicy.link.tree import Tree
from convpolicy.runtime.part import Part
from convpolicy.runtime.scripts.joining import OneConversation
from convpolicy.runtime.tree.ends import LeafEnd, RootEnd
from convpolicy.runtime.tree.plan import Plan
from convpolicy.runtime.tree.script import TreeScript

__all__ = ["TreeJoining", "TreePlayer"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", covariant=True)


class TreePlayer(Generic[Sends, Receives]):
    """Plays a role over a tree on any number of topics, over one connection.

    `async with policy.player(Publisher, via=tree) as publisher:` opens it, and
    `async with publisher.join("sport") as conversation:` takes part in the conversation on a topic.
    """

    def __init__(self, part: Part, plan: Plan, tree: Tree, *, lost_after: float) -> None:
        self._part, self._plan, self._tree, self._lost_after = part, plan, tree, lost_after
        self._end: RootEnd[Sends, Receives] | LeafEnd[Sends, Receives] | None = None

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
            self._end = RootEnd(self._part, self._plan, self._tree)
        else:
            self._end = LeafEnd(self._part, self._plan, self._tree, self._lost_after)

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
    def _opened(self) -> RootEnd[Sends, Receives] | LeafEnd[Sends, Receives]:
        if self._end is None:
            raise WiringError("the tree is not open.\n  Use the player in `async with`.")
        return self._end


class TreeJoining(OneConversation[TreeScript[Sends, Receives]], Generic[Sends, Receives]):
    """What `join` over a tree returns: `async with` it to take part in one conversation."""

    def __init__(self, player: TreePlayer[Sends, Receives], tree: Tree, *, close: bool) -> None:
        super().__init__(close=close)
        self._player, self._tree = player, tree

    async def _open_link(self) -> None:
        self._player.start()

    async def _begin(self) -> TreeScript[Sends, Receives]:
        return self._player.script(self._tree)

    def _close_link(self) -> None:
        self._player.close()
