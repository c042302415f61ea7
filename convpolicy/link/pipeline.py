"""Push-pull: a chain of roles, one conversation a task, any number of players of each role in the middle.

Tasks are not pushed: a worker asks for what it can take. The first role listens for the workers of every stage
and the last one for what the last stage delivers, so every worker connects, and may come and go. Between them
frames travel on ROUTER and DEALER. Bare PUSH and PULL lose what waits in the pipe of a worker that dies (L160,
L3392): 515 to 994 of 2,000 tasks when measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Protocol, cast

from convpolicy.errors import WiringError, one_of
from convpolicy.link.bus import Bus
from convpolicy.link.ends import Ends
from convpolicy.link.port import Guarantees, Link, Port
from convpolicy.link.pushpull import PullPort, PushPort
from convpolicy.link.treeport import back_of
from convpolicy.verify.links.carrier import Carrier, Players

__all__ = ["MANIFEST", "Named", "Pipeline"]


class Named(Protocol):
    """A role, of which only the name matters here."""

    @property
    def name(self) -> str:
        """The role's name."""
        ...


class Pipeline(Link):
    """A push-pull link: `Pipeline({(Source, Worker): "tcp://host:7001", (Worker, Sink): "tcp://host:7002"})`.

    `stages` gives an address, or a link, for each pair of neighbours of a chain of roles. The first role listens at
    all addresses but the last, the last role at the last one.

    A worker works on `credit` tasks at a time; without one on two, or on as many as it does in a hundredth of a second
    (see `taking`). It has a task for `lease` seconds, and for longer while it says that it
    works on it; then another one gets it. A task that has failed `attempts` times is set aside. The first role
    keeps at most `window` tasks that are not done, and takes no more while these have 16 MiB.

    With `volatile` tasks and results go over bare PUSH and PULL: several times as fast, without loans, attempts and
    leases. What a dead worker had is lost; the last role knows by the manifest what is missing, and the report says
    it, once nothing has come for `lease` seconds. For the manifest it also listens one port above its address.

    Raises:
        WiringError: the pairs are not a chain, or a setting is out of range.
    """

    def __init__(
        self,
        stages: Mapping[tuple[Named, Named], str | Link],
        *,
        credit: int | None = None,
        lease: float = 30.0,
        attempts: int = 5,
        window: int = 16384,
        volatile: bool = False,
    ) -> None:
        if min(1 if credit is None else credit, attempts, window) < 1 or lease < SHORTEST_LEASE:
            raise WiringError(
                f"a pipeline needs a credit, attempts and a window of at least 1, and a lease of at least "
                f"{SHORTEST_LEASE:g} s.\n  Change the settings of the Pipeline."
            )
        pairs = {(sender.name, receiver.name): _link(at) for (sender, receiver), at in stages.items()}
        self.roles = _chain(list(pairs))
        self.links = tuple(pairs[pair] for pair in zip(self.roles, self.roles[1:], strict=False))
        self.credit, self.lease, self.attempts, self.window = credit, lease, attempts, window
        self.volatile = volatile
        if volatile and (len(self.links) != 2 or not all(map(_has_address, self.links))):
            raise WiringError(
                "a volatile pipeline has one stage of workers, and addresses, with their ports, at both sides of it.\n"
                "  Leave `volatile` out, or give it two addresses."
            )

    def taking(self, credit: int) -> Pipeline:
        """Return the pipeline for a player that works on so many tasks at a time: `worker.run(via=studio.taking(8))`.

        Raises:
            WiringError: that is less than one.
        """
        if credit < 1:
            raise WiringError("a worker takes at least one task at a time.\n  Give it a credit of 1 or more.")
        pipeline = copy(self)
        pipeline.credit = credit
        return pipeline

    @property
    def url(self) -> str:
        """The addresses, in the order of the stages."""
        return " ".join(link.url for link in self.links)

    @property
    def guarantees(self) -> Guarantees:
        """Tasks overtake each other, and nothing is answered."""
        return Guarantees(ordered=False, answers=False)

    def between(self, sender: str, receiver: str) -> Carrier | None:
        """Say how it carries what a role says to the next: any player of that takes it. Nothing else is carried."""
        if (sender, receiver) not in zip(self.roles, self.roles[1:], strict=False):
            return None
        players = Players.ONE if receiver == self.roles[-1] else Players.ANY
        return Carrier(repr(self), ordered=False, answers=False, players=players)

    def open(self, *, listen: bool) -> Port:
        """Refuse: a pipeline has more than two ends. See `ends`.

        Raises:
            WiringError: always.
        """
        del listen
        raise WiringError(
            f"a Pipeline carries one conversation for each task, and cannot be joined.\n"
            f"  Put tasks in with `async with policy.batch({self.roles[0]}, via=…)`, and play "
            f"{one_of(self.roles[1:], word='and')} with `policy.service(…)`."
        )

    def ends(self, role: str) -> Ends:
        """Open what a role of the chain needs.

        Raises:
            LinkError: an address cannot be used.
        """
        last = len(self.links) - 1
        place = self.roles.index(role)
        if place == 0:
            edges = {edge: edge < last for edge in range(last + 1)}
        elif place > last:
            edges = {last: True}
        else:
            edges = {place - 1: False, place: False}
        return Ends(_opened({edge: partial(self.links[edge].open, listen=on) for edge, on in edges.items()}))

    def lanes(self, role: str) -> Lanes:
        """Open what a role of a volatile pipeline needs.

        Raises:
            LinkError: an address cannot be used.
        """
        tasks, results = (link.url for link in self.links)
        manifest = Bus(back_of(results))
        if role == self.roles[0]:
            ways: dict[int, Callable[[], Port]] = {
                PUSH: partial(PushPort, tasks, bind=True),
                MANIFEST: partial(manifest.open, listen=False),
            }
        elif role == self.roles[1]:
            ways = {PULL: partial(PullPort, tasks, bind=False), PUSH: partial(PushPort, results, bind=False)}
        else:
            ways = {PULL: partial(PullPort, results, bind=True), MANIFEST: partial(manifest.open, listen=True)}
        return Lanes(_opened(ways))

    def __repr__(self) -> str:
        return f"<Pipeline {' → '.join(self.roles)}>"


PUSH, PULL, MANIFEST = 0, 1, 2  # the ends of a volatile pipeline

SHORTEST_LEASE = 0.2  # seconds; a worker says four times in a lease that it is still there


def _opened(ways: Mapping[int, Callable[[], Port]]) -> dict[int, Port]:
    """Open ports; when one cannot be, close the others."""
    opened: dict[int, Port] = {}
    try:
        for edge, way in ways.items():
            opened[edge] = way()
    except BaseException:
        for port in opened.values():
            port.close()
        raise
    return opened


def _has_address(link: Link) -> bool:
    return isinstance(link, Bus) and not link.url.endswith(":0")


def _link(at: str | Link) -> Link:
    return Bus(at) if isinstance(at, str) else at


def _chain(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the roles in order.

    Raises:
        WiringError: they are not one chain.
    """
    after = dict(pairs)
    receivers = [receiver for _, receiver in pairs]
    for sender, receiver in pairs:
        if sender == receiver or [s for s, _ in pairs].count(sender) > 1 or receivers.count(receiver) > 1:
            raise WiringError(
                f"a pipeline is a chain, in which {sender} has one stage after it and {receiver} one before it.\n"
                f"  Leave out a pair, or carry it over another link."
            )
    first = [sender for sender, _ in pairs if sender not in receivers]
    if not first:
        what = "goes round in a circle" if pairs else "has no stages"
        raise WiringError(
            f"a pipeline {what}; it needs a role that begins and one that collects.\n  Carry what goes back over a Bus."
        )
    roles = [first[0]]
    while roles[-1] in after:
        roles.append(after[roles[-1]])
    if len(roles) != len(pairs) + 1:
        raise WiringError("a pipeline is one chain, and these pairs are several.\n  Make one Pipeline of each.")
    return tuple(roles)


class Lanes(Ends):
    """The open ends of a role of a volatile pipeline: what it has of a lane out, a lane in, and the manifest's."""

    @property
    def push(self) -> PushPort:
        """The lane out."""
        return cast("PushPort", self.ports[PUSH])

    @property
    def pull(self) -> PullPort:
        """The lane in."""
        return cast("PullPort", self.ports[PULL])

    @property
    def manifest(self) -> Ends:
        """The channel between the first role and the last."""
        return Ends({MANIFEST: self.ports[MANIFEST]})
