"""Conversation policies: who may send which message to whom, in what order.

Declared once, proved to be followable, projected onto each participant as its own state machine, and held to
at run time over ZeroMQ.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from convpolicy.errors import (
    Aborted,
    Busy,
    ChannelRetired,
    ConversationError,
    ConvPolicyError,
    CreditSpent,
    Expired,
    Exposed,
    ForeignThread,
    Forked,
    IllFormed,
    InDoubt,
    JournalError,
    JournalFailed,
    LinkError,
    LinkFull,
    LocalViolation,
    MissingExtra,
    NotCompatible,
    NotImplementable,
    NotReachable,
    PayloadError,
    PeerLost,
    PolicyError,
    PolicyMismatch,
    PolicySyntaxError,
    Quarantined,
    RemoteViolation,
    ReplayDiffers,
    RoundOver,
    ServiceError,
    TooSlow,
    TreeFull,
    Unfinished,
    Unplayable,
    Unsupported,
    WiringError,
)
from convpolicy.machine import Machine
from convpolicy.policy.builder import (
    again,
    call,
    calls,
    choice,
    connect,
    crash,
    disconnect,
    interrupt,
    interruptible,
    label,
    labels,
    loop,
    par,
    roles,
    send,
    seq,
    variable,
)
from convpolicy.policy.model import Crashed, Field, Invited, Label, Message, Protocol, Returned, Role

if TYPE_CHECKING:
    from convpolicy.journal.port import Journal
    from convpolicy.journal.sqlite import SQLite
    from convpolicy.link.bus import Bus
    from convpolicy.link.memory import Faults, Memory
    from convpolicy.link.pipeline import Pipeline
    from convpolicy.link.port import Link
    from convpolicy.link.tree import Tree
    from convpolicy.link.wiring import Wiring
    from convpolicy.runtime.bus.service_bus import ServiceBus
    from convpolicy.runtime.dialogue import Dialogue
    from convpolicy.runtime.gap import Gap
    from convpolicy.runtime.observing import Observed
    from convpolicy.runtime.peers.suspicion import Suspicion
    from convpolicy.runtime.pipeline.batch import Batch, BatchReport, Progress
    from convpolicy.runtime.quarantine import SetAside
    from convpolicy.runtime.scripts.player import Player
    from convpolicy.runtime.scripts.script import Script
    from convpolicy.runtime.services.parting import ExitReport
    from convpolicy.runtime.services.service import Service
    from convpolicy.runtime.tree.player import TreePlayer
    from convpolicy.runtime.tree.script import TreeScript
    from convpolicy.runtime.wired.player import WiredPlayer
    from convpolicy.runtime.wired.script import WiredScript
    from convpolicy.verbs import Policy
    from convpolicy.verify.evidence.report import Report
    from convpolicy.verify.evolution.acceptance import Acceptance
    from convpolicy.verify.evolution.compatibility import Compatibility

__all__ = [
    "Aborted",
    "Acceptance",
    "Batch",
    "BatchReport",
    "Bus",
    "Busy",
    "ChannelRetired",
    "Compatibility",
    "ConvPolicyError",
    "ConversationError",
    "Crashed",
    "CreditSpent",
    "Dialogue",
    "ExitReport",
    "Expired",
    "Exposed",
    "Faults",
    "Field",
    "ForeignThread",
    "Forked",
    "Gap",
    "IllFormed",
    "InDoubt",
    "Invited",
    "Journal",
    "JournalError",
    "JournalFailed",
    "Label",
    "Link",
    "LinkError",
    "LinkFull",
    "LocalViolation",
    "Machine",
    "Memory",
    "Message",
    "MissingExtra",
    "NotCompatible",
    "NotImplementable",
    "NotReachable",
    "Observed",
    "PayloadError",
    "PeerLost",
    "Pipeline",
    "Player",
    "Policy",
    "PolicyError",
    "PolicyMismatch",
    "PolicySyntaxError",
    "Progress",
    "Protocol",
    "Quarantined",
    "RemoteViolation",
    "ReplayDiffers",
    "Report",
    "Returned",
    "Role",
    "RoundOver",
    "SQLite",
    "Script",
    "Service",
    "ServiceBus",
    "ServiceError",
    "SetAside",
    "Suspicion",
    "TooSlow",
    "Tree",
    "TreeFull",
    "TreePlayer",
    "TreeScript",
    "Unfinished",
    "Unplayable",
    "Unsupported",
    "WiredPlayer",
    "WiredScript",
    "Wiring",
    "WiringError",
    "again",
    "call",
    "calls",
    "choice",
    "connect",
    "crash",
    "disconnect",
    "interrupt",
    "interruptible",
    "label",
    "labels",
    "loop",
    "par",
    "roles",
    "send",
    "seq",
    "variable",
]

# What plays a policy is loaded when it is first asked for: a check and a command need no ZeroMQ, and a program that has
# one kind of link needs nothing of the others.
_PLAYING = {
    "Acceptance": "convpolicy.verify.evolution.acceptance",
    "Batch": "convpolicy.runtime.pipeline.batch",
    "BatchReport": "convpolicy.runtime.pipeline.batch",
    "Bus": "convpolicy.link.bus",
    "Compatibility": "convpolicy.verify.evolution.compatibility",
    "Dialogue": "convpolicy.runtime.dialogue",
    "ExitReport": "convpolicy.runtime.services.parting",
    "Faults": "convpolicy.link.memory",
    "Gap": "convpolicy.runtime.gap",
    "Journal": "convpolicy.journal.port",
    "Link": "convpolicy.link.port",
    "Memory": "convpolicy.link.memory",
    "Observed": "convpolicy.runtime.observing",
    "Pipeline": "convpolicy.link.pipeline",
    "Player": "convpolicy.runtime.scripts.player",
    "Policy": "convpolicy.verbs",
    "Progress": "convpolicy.runtime.pipeline.batch",
    "Report": "convpolicy.verify.evidence.report",
    "SQLite": "convpolicy.journal.sqlite",
    "Script": "convpolicy.runtime.scripts.script",
    "Service": "convpolicy.runtime.services.service",
    "ServiceBus": "convpolicy.runtime.bus.service_bus",
    "SetAside": "convpolicy.runtime.quarantine",
    "Suspicion": "convpolicy.runtime.peers.suspicion",
    "Tree": "convpolicy.link.tree",
    "TreePlayer": "convpolicy.runtime.tree.player",
    "TreeScript": "convpolicy.runtime.tree.script",
    "WiredPlayer": "convpolicy.runtime.wired.player",
    "WiredScript": "convpolicy.runtime.wired.script",
    "Wiring": "convpolicy.link.wiring",
}


if not TYPE_CHECKING:  # type checkers would take a module with `__getattr__` to have every name

    def __getattr__(name: str) -> object:
        """Load what is asked for, and know what was loaded with it by the name that users have for it."""
        if name not in _PLAYING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import_module(_PLAYING[name])
        for each, module in _PLAYING.items():
            if module in sys.modules and hasattr(sys.modules[module], each):
                globals()[each] = getattr(sys.modules[module], each)
                _ours(each)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _ours(name: str) -> None:
    # Error texts and `help` say `convpolicy.Policy`, which is what users import, and not where it is defined.
    globals()[name].__module__ = __name__


for _name in __all__:
    if _name not in _PLAYING:
        _ours(_name)
