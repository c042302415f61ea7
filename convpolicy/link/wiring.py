"""Which link carries what is said between two roles: one policy over several patterns.

A wiring is a value, like every link: `Wiring({(Market, Supplier): tree, (Buyer, Supplier): bus})`. A link for
(A, B) also serves (B, A) when it carries answers. Whether the links can carry a policy is what
`policy.check(over=wiring)` says, before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from convpolicy.errors import WiringError, one_of
from convpolicy.link.bus import Bus
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Guarantees, Link, Port
from convpolicy.link.wirefile import read
from convpolicy.policy.model import Role
from convpolicy.verify.links.carrier import Carrier, Players

__all__ = ["Wiring", "carriers", "connection"]

Pair = tuple[Role[Any, Any], Role[Any, Any]]


class Wiring(Link):
    """Links by who speaks to whom: `Wiring({(A, B): link, …})`; (A, B) is what A says to B.

    A link that carries answers serves (B, A) as well, unless that pair has one of its own.

    Raises:
        WiringError: there is no pair, a pair is not two roles, or its link does not go from the one to the other.
    """

    def __init__(self, links: Mapping[Pair, Link]) -> None:
        self.links: dict[tuple[str, str], Link] = {(one.name, other.name): link for (one, other), link in links.items()}
        if not self.links:
            raise WiringError("a wiring without a link carries nothing.\n  Give it pairs of roles, each with a link.")
        for (one, other), link in self.links.items():
            if one == other:
                raise WiringError(f"the wiring has a link from {one} to itself.\n  Name two different roles.")
            if link.between(one, other) is None:
                raise WiringError(
                    f"{link} carries nothing from {one} to {other}.\n  Wire the pair to another link, or the link to "
                    f"another pair."
                )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a wiring from a TOML file: a `[[link]]` for each pair, with `from`, `to`, and what carries it.

        That is one of `bus = "tcp://…"`, `tree = "tcp://…"` (its root is `from`), `pipeline = "tcp://…"` and
        `memory = "name"`; `broker = true` says of a bus, or of a pipeline's address, that a service bus listens there.
        Equal addresses are one link, and the pipelines that follow one another are one chain.

        Raises:
            WiringError: the file is not a wiring; the error shows the line.
            OSError: it cannot be read.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise WiringError(f"{path} is not UTF-8 text: {problem}\n  Save it as UTF-8.") from problem
        return cls.loads(text, file=str(path))

    @classmethod
    def loads(cls, text: str, *, file: str = "<wiring>") -> Self:
        """Read a wiring from text; errors name `file`. Raises as `load` does."""
        return cls(read(text, file))

    @property
    def url(self) -> str:
        """The addresses of its links, each once."""
        return " ".join(dict.fromkeys(link.url for link in self.links.values()))

    @property
    def guarantees(self) -> Guarantees:
        """What all of its links keep; `between` says it of two roles."""
        kept = [link.guarantees for link in self.links.values()]
        return Guarantees(ordered=all(each.ordered for each in kept), answers=all(each.answers for each in kept))

    def between(self, sender: str, receiver: str) -> Carrier | None:
        """Say how it carries what one role says to another; None when it does not."""
        link = self.links.get((sender, receiver)) or self._answering(sender, receiver)
        carrier = None if link is None else link.between(sender, receiver)
        if link is None or carrier is None or carrier.players is Players.EACH:
            return carrier
        return replace(carrier, direct=not self.carries(sender, receiver).broker)

    def carries(self, sender: str, receiver: str) -> Link:
        """Return what the frames from one role to another go over: of a pipeline, the link of its stage.

        Raises:
            KeyError: no link is wired for them, in either direction.
        """
        link = self.links.get((sender, receiver)) or self.links[receiver, sender]
        return link.links[link.roles.index(sender)] if isinstance(link, Pipeline) else link

    def link(self, sender: Role[Any, Any], receiver: Role[Any, Any]) -> Link:
        """Return the link that carries what one role says to another.

        Raises:
            WiringError: there is none.
        """
        found = self.links.get((sender.name, receiver.name)) or self._answering(sender.name, receiver.name)
        if found is None:
            raise WiringError(
                f"no link carries what {sender} says to {receiver}; the wiring has {self._listed()}.\n"
                f"  Add one for ({sender}, {receiver})."
            )
        return found

    def _answering(self, sender: str, receiver: str) -> Link | None:
        link = self.links.get((receiver, sender))
        return link if link is not None and link.guarantees.answers else None

    def open(self, *, listen: bool) -> Port:
        """Open the one link that it consists of.

        Raises:
            WiringError: it has several, and which of them is meant depends on who speaks to whom.
            LinkError: the address cannot be used.
        """
        first, *others = self._distinct()
        if others:
            raise WiringError(
                f"{self} has several links, and an end of one of them is not an end of the wiring.\n"
                f"  Open the link of two roles: wiring.link(sender, receiver)."
            )
        return first.open(listen=listen)

    def _distinct(self) -> Iterator[Link]:
        yield from {id(link): link for link in self.links.values()}.values()

    def _listed(self) -> str:
        return one_of((f"({one}, {other})" for one, other in self.links), word="and")

    def __repr__(self) -> str:
        return f"<Wiring of {self._listed()}>"


def connection(link: Link) -> object:
    """Return what two links have in common where they are one connection: a Bus at one address is."""
    return (link.url,) if isinstance(link, Bus) else id(link)


def carriers(link: Link, roles: Iterable[Role[Any, Any]]) -> dict[tuple[str, str], Carrier]:
    """Return what carries the messages of each ordered pair of roles, and of the others that a wiring names."""
    names = [role.name for role in roles]
    pairs = {(one, other): None for one in names for other in names if one != other}
    if isinstance(link, Wiring):
        pairs |= dict.fromkeys(link.links)
    found = {pair: link.between(*pair) for pair in pairs}
    return {pair: carrier for pair, carrier in found.items() if carrier is not None}
