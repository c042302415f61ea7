"""Several links as one: a service listens at each of them, and conversations may go on over another one."""

from __future__ import annotations

from collections.abc import Sequence

from convpolicy.errors import WiringError
from convpolicy.link.ends import Ends
from convpolicy.link.port import Guarantees, Link, Port

__all__ = ["Several", "one_link"]


class Several(Link):
    """The links given, in that order: all of them are listened at, or there is a service bus at each.

    Raises:
        WiringError: one listens and another goes to a bus.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        if len({link.broker for link in links}) > 1:
            raise WiringError(
                f"{', '.join(map(repr, links))} are not of one kind: at a service bus everybody connects.\n"
                "  Give links that are all service buses, or none of them."
            )
        self.links = tuple(links)

    @property
    def url(self) -> str:
        """The addresses, in order."""
        return " ".join(link.url for link in self.links)

    @property
    def guarantees(self) -> Guarantees:
        """What all of them keep."""
        kept = [link.guarantees for link in self.links]
        return Guarantees(ordered=all(each.ordered for each in kept), answers=all(each.answers for each in kept))

    @property
    def broker(self) -> bool:
        """Whether service buses listen there."""
        return self.links[0].broker

    def open(self, *, listen: bool) -> Port:
        """Open an end of each; see `Link.open`."""
        opened: dict[int, Port] = {}
        try:
            for number, link in enumerate(self.links):
                opened[number] = link.open(listen=listen)
        except BaseException:
            for port in opened.values():
                port.close()
            raise
        return Ends(opened)

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self.links))}]"


def one_link(via: Link | Sequence[Link]) -> Link:
    """Return what a user gave as one link.

    Raises:
        WiringError: no link was given, or they do not go together.
    """
    if isinstance(via, Link):
        return via
    if not via:
        raise WiringError("no link was given.\n  Give one, such as Bus('tcp://127.0.0.1:5555'), or several.")
    return via[0] if len(via) == 1 else Several(via)
