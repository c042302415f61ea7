"""Conversation policies: who may send which message to whom, in what order.

Declared once, proved to be followable, projected onto each participant as its own state machine, and held to
at run time over ZeroMQ.
"""

from convpolicy.errors import (
    Aborted,
    ConversationError,
    ConvPolicyError,
    Expired,
    Exposed,
    ForeignThread,
    IllFormed,
    LinkError,
    LocalViolation,
    MissingExtra,
    NotImplementable,
    NotReachable,
    PayloadError,
    PeerLost,
    PolicyError,
    PolicyMismatch,
    PolicySyntaxError,
    Quarantined,
    RemoteViolation,
    RoundOver,
    ServiceError,
    TooSlow,
    TreeFull,
    Unfinished,
    Unplayable,
    Unsupported,
    WiringError,
)
from convpolicy.link.bus import Bus
from convpolicy.link.memory import Faults, Memory
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Link
from convpolicy.link.tree import Tree
from convpolicy.link.wiring import Wiring
from convpolicy.machine import Machine
from convpolicy.policy.builder import again, call, choice, crash, label, labels, loop, par, roles, send, seq, variable
from convpolicy.policy.model import Field, Label, Message, Protocol, Role
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.pipeline.batch import Batch, BatchReport, Progress
from convpolicy.runtime.player import Player
from convpolicy.runtime.script import Script
from convpolicy.runtime.service import Service
from convpolicy.runtime.service_bus import ServiceBus
from convpolicy.runtime.tree.gap import Gap
from convpolicy.runtime.tree.player import TreePlayer
from convpolicy.runtime.tree.script import TreeScript
from convpolicy.runtime.wired.player import WiredPlayer
from convpolicy.runtime.wired.script import WiredScript
from convpolicy.verbs import Policy
from convpolicy.verify.acceptance import Acceptance
from convpolicy.verify.compatibility import Compatibility
from convpolicy.verify.report import Report

__all__ = [
    "Aborted",
    "Acceptance",
    "Batch",
    "BatchReport",
    "Bus",
    "Compatibility",
    "ConvPolicyError",
    "ConversationError",
    "Dialogue",
    "Expired",
    "Exposed",
    "Faults",
    "Field",
    "ForeignThread",
    "Gap",
    "IllFormed",
    "Label",
    "Link",
    "LinkError",
    "LocalViolation",
    "Machine",
    "Memory",
    "Message",
    "MissingExtra",
    "NotImplementable",
    "NotReachable",
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
    "Report",
    "Role",
    "RoundOver",
    "Script",
    "Service",
    "ServiceBus",
    "ServiceError",
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
    "choice",
    "crash",
    "label",
    "labels",
    "loop",
    "par",
    "roles",
    "send",
    "seq",
    "variable",
]

# Error texts and `help` say `convpolicy.Policy`, which is what users import, and not where it is defined.
for _name in __all__:
    globals()[_name].__module__ = __name__
