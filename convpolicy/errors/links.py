"""What does not fit into a message, and what is wrong with a link."""

from __future__ import annotations

from convpolicy.errors.policies import ConvPolicyError

__all__ = [
    "Exposed",
    "ForeignThread",
    "LinkError",
    "LinkFull",
    "NotReachable",
    "PayloadError",
    "TreeFull",
]


class PayloadError(ConvPolicyError):
    """A payload does not fit its declared type; `path` is where (`$.quantity`), `label` the message."""

    def __init__(self, label: str, problem: str, path: str = "$") -> None:
        self.label, self.problem, self.path = label, problem, path
        super().__init__(f"{label} does not fit its declaration at `{path}`: {problem}\n  Correct that field.")


class LinkError(ConvPolicyError):
    """The transport failed or is misused."""


class TreeFull(LinkError):
    """The root of a tree has as many readers, or connections to itself (`what`), as it has room for: `limit`."""

    def __init__(self, url: str, what: str, limit: int) -> None:
        self.url, self.what, self.limit = url, what, limit
        room = "readers=" if what == "readers" else "fan_out="
        relay = "" if what == "readers" else "connect to a relay (`convpolicy relay`), "
        super().__init__(
            f"the tree at {url} has no room: its root has {limit:,} {what} already.\n"
            f"  Come back later, {relay}or give the root room for more (`{room}`)."
        )


class NotReachable(LinkError):
    """Nothing that speaks convpolicy answered at `url` within `waited` seconds: no `role`, or no service `bus`."""

    def __init__(self, url: str, waited: float, role: str, *, bus: bool = False) -> None:
        self.url, self.waited, self.role, self.bus = url, waited, role, bus
        super().__init__(self._text())

    def _text(self) -> str:
        if self.bus:
            first = self.url.partition(" ")[0]
            return (
                f"no service bus answers at {self.url}: {self.waited:g} s were waited for it.\n"
                f"  Start `convpolicy bus {first}`, or check the address; `timeout=…` waits longer."
            )
        return (
            f"no {self.role} answered at {self.url} within {self.waited:g} s.\n"
            f"  Start the {self.role} first, or check the address; `join(..., timeout=…)` waits longer."
        )


class LinkFull(NotReachable):
    """As many processes are connected at `url` as may be, `limit`, and none of them went within `waited` seconds."""

    def __init__(self, url: str, waited: float, role: str, limit: int, *, bus: bool = False) -> None:
        self.limit = limit
        super().__init__(url, waited, role, bus=bus)

    def _text(self) -> str:
        return (
            f"there is no place at {self.url}: {self.limit:,} processes are connected, which is all that it takes, and "
            f"none of them went within {self.waited:g} s.\n"
            f"  Come back later, wait longer (`timeout=…`), or give it more places (`Bus(…, peers=…)`)."
        )


class ForeignThread(LinkError):
    """A link was used from another thread, or in a forked child, than the one that opened it."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} belongs to the thread and process that opened it.\n"
            f"  Open one here instead; after a fork use the `spawn` start method of multiprocessing."
        )


class Exposed(UserWarning):
    """A link listens where other machines can connect, and nobody is authenticated; `url` is where."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"{url} can be reached from other machines, nobody is authenticated and nothing is encrypted.\n"
            f"  Listen on 127.0.0.1, or use ipc. In a network that you trust, say so: "
            f'`warnings.simplefilter("ignore", convpolicy.Exposed)`, or `python -W ignore::UserWarning`.'
        )
