"""Who takes part, and what goes from one to another: roles, labels with their fields, and messages.

Besides messages there is what a program receives like one: that a role has stopped (`Crashed`), and what there is to be
said of conversations that others start (`Invited`, `Returned`). `convpolicy.policy.model` has all of these, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from convpolicy.errors import Position

__all__ = ["AnyRole", "Crashed", "Field", "Invited", "Label", "Message", "Returned", "Role", "name_of"]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


# No slots: a generic frozen dataclass with slots cannot be instantiated in Python 3.11.
@dataclass(frozen=True)
class Role(Generic[Sends, Receives]):
    """A participant: `Role[Order | Payment, Shipment | Invoice]("Buyer")` sends the first, receives the second.

    The type parameters are for type checkers only; roles are equal when their names are.

    Raises:
        ValueError: the name is not an identifier.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"{self.name!r} is not a role name: use letters, digits and _, such as `Buyer`")

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


AnyRole = Role[Any, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a payload: `sku: str`. `name` is empty where the text names only the sort.

    A sort is kept without blanks but after a comma, as in `map<str, list<int>>`, however it was written.
    """

    name: str
    sort: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sort", "".join(self.sort.split()).replace(",", ", "))

    def __str__(self) -> str:
        return f"{self.name}: {self.sort}" if self.name else self.sort


@dataclass(frozen=True, slots=True)
class Label:
    """The name of a message and the fields of its payload. Calling it makes a message.

    >>> Order = Label("Order", (Field("sku", "str"), Field("quantity", "int")))
    >>> Order(sku="chair", quantity=2)
    Order(sku='chair', quantity=2)
    """

    name: str
    fields: tuple[Field, ...] = ()
    type: type[Any] | None = field(default=None, compare=False, repr=False)
    at: Position | None = field(default=None, compare=False, repr=False)

    def __call__(self, /, **payload: Any) -> Message:
        """Make a message with this label; whether the payload fits is checked when it is sent."""
        return Message(self.name, payload)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.fields))})"

    @property
    def names(self) -> tuple[str, ...]:
        """The field names; a field without one is called by its place, `_1`, `_2`, …."""
        return tuple(f.name or f"_{place}" for place, f in enumerate(self.fields, 1))


class Message:
    """A message whose label has no Python class: a label and a dictionary of fields.

    `case Message("Invoice", {"amount": amount})` takes one apart.
    """

    __slots__ = ("fields", "label")
    __match_args__ = ("label", "fields")

    def __init__(self, label: str | Label, fields: Mapping[str, Any] | None = None) -> None:
        self.label = label.name if isinstance(label, Label) else label
        self.fields = dict(fields or {})

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.label == other.label and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # the payload is a dictionary

    def __repr__(self) -> str:
        return f"{self.label}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"


@dataclass(frozen=True, slots=True)
class Crashed:
    """`role` has stopped, and the conversation goes on by the branch for that; `why` says how it was noticed.

    Scripts receive it and services handle it like a message: `@seller.on(Crashed)`, `case Crashed(role)`.
    """

    role: AnyRole
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Invited:
    """This role is to take part as `role` in a conversation of its own, which follows the nested protocol `protocol`.

    A script receives it like a message, and goes there with `conversation.enter(invited)`. For a service it is what the
    handlers of that role are given first, also where it has made the call itself.
    """

    protocol: str
    role: AnyRole
    conversation: str = field(default="", repr=False)  # its id, in hexadecimal


@dataclass(frozen=True, slots=True)
class Returned:
    """This role's part, as `role`, in a conversation that this one has started is over: a service goes on here."""

    protocol: str
    role: AnyRole


def name_of(message: object) -> str:
    """Return the label that a message goes under: its class's name, or what a `Message` says."""
    return message.label if type(message) is Message else type(message).__name__
