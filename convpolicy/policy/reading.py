"""The body of one protocol: from syntax tree to statements.

Names are looked up where they stand, so an unknown one is reported at its own column. What Scribble has and a
policy has not is refused here by its name. `@"…"` annotations say nothing to a policy and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lark import Token, Tree

from convpolicy.errors import PolicyError, PolicySyntaxError, Position, Unsupported
from convpolicy.policy.durations import seconds
from convpolicy.policy.expressions import Expression, both
from convpolicy.policy.guards import Placed, condition, values, variables
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Disconnect,
    Field,
    Interrupt,
    Interruptible,
    Invite,
    Label,
    Loop,
    Par,
    Role,
    Send,
    Seq,
    Statement,
    Variable,
)
from convpolicy.policy.module import Declaration, Module, dotted
from convpolicy.policy.nesting import Called, invite, is_nested
from convpolicy.policy.syntax import Node, parts, place, tokens
from convpolicy.policy.wellformed import INTERRUPTIBLE, PAR, Outside, ensure_field, unknown_loop, unknown_role

__all__ = ["Argument", "Reader", "Targets"]

_UNSUPPORTED = {
    "local_receive": ("receive without a receiver", "in a global protocol write `Label from A to B;`."),
    "local_send": ("send without a sender", "in a global protocol write `Label from A to B;`."),
}


class Argument(NamedTuple):
    """What is given for a type parameter, as the message and as the sort that it can stand for."""

    label: Label
    sort: str

    @property
    def word(self) -> str:
        """The argument as a part of a name."""
        return "_".join(re.findall(r"\w+", self.label.name))


Environment = Mapping[str, Argument]


class Targets(NamedTuple):
    """How calls are linked: `go_on` returns the name that a `do`'s target has in the policy, `start` what begins."""

    go_on: Callable[[Node, tuple[Argument, ...]], str]
    start: Callable[[str, Position], Called]


class Reader:
    """Reads the body of `declaration`.

    `targets` links what it calls. `ignored` gets what is left out.
    """

    def __init__(
        self,
        module: Module,
        declaration: Declaration,
        environment: Environment,
        targets: Targets,
        ignored: list[PolicyError],
    ) -> None:
        self._ignored = ignored
        nested = {str(tokens(nested)[0]) for nested in declaration.tree.find_data("nested")}
        self._nested = nested - {protocol.name for protocol in module.protocols}
        self._source, self._environment, self._targets = module.source, environment, targets
        self._declaration = declaration
        self.roles = tuple(self._declared(role) for part in parts(declaration.tree, "roles") for role in part.children)
        self._known = {role.name: role for role in self.roles}

    def _declared(self, node: Token | Node) -> AnyRole:
        name = tokens(node)[0] if isinstance(node, Tree) else node
        try:
            return Role[Any, Any](str(name))
        except ValueError:
            hint = "use letters, digits and _, a letter first."
            raise PolicySyntaxError(f"`{name}` cannot name a role", at=place(self._source, name), hint=hint) from None

    def body(self) -> Statement:
        """Return what the protocol says.

        Raises:
            IllFormed, Unsupported, PolicySyntaxError: see `Module.policy`.
        """
        return self._block(parts(self._declaration.tree, "block")[0], (), {})

    # ---------------------------------------------------------------------------------------------- statements

    def _block(self, node: Node, inside: tuple[str, ...], outside: Outside) -> Statement:
        steps = tuple(
            self._statement(step, inside, outside)
            for step in node.children
            if isinstance(step, Tree) and step.data not in {"annotation", "nested"}
        )
        return steps[0] if len(steps) == 1 else Seq(steps, place(self._source, node))

    def _blocks(self, node: Node, inside: tuple[str, ...], outside: Outside) -> tuple[Statement, ...]:
        return tuple(self._block(block, inside, outside) for block in parts(node, "block"))

    def _statement(self, node: Node, inside: tuple[str, ...], outside: Outside) -> Statement:
        """Read a statement in the loops `inside`; those of `outside` are beyond a border."""
        at = place(self._source, node)
        match node.data:
            case "message":
                return self._message(node)
            case "choice":
                return Choice(self._role(tokens(node)[0]), self._blocks(node, inside, outside), at)
            case "par":
                return Par(self._blocks(node, (), {**outside, **dict.fromkeys(inside, PAR)}), at)
            case "interruptible":
                return self._interruptible(node, {**outside, **dict.fromkeys(inside, INTERRUPTIBLE)})
            case "rec":
                name = str(tokens(node)[0])
                body = self._block(parts(node, "block")[0], (*inside, name), outside)
                return Loop(name, body, at, self._variables(node))
            case "continue":
                return self._again(node, inside, outside)
            case "do":
                return self._do(node)
            case "calls":
                return self._calls(node)
            case "connection" | "connect":
                return self._connect(node)
            case "disconnect":
                one, other = map(self._role, tokens(node))
                return Disconnect(one, other, at)
            case "wrap":
                hint = "encryption is a matter of the link, not of the policy: take the statement away."
                self._ignored.append(Unsupported("wrap", at=at, hint=hint))
                return Seq((), at)
            case other:
                construct, hint = _UNSUPPORTED[other]
                raise Unsupported(construct, at=at, hint=hint)

    def _interruptible(self, node: Node, outside: Outside) -> Interruptible:
        body = self._block(parts(node, "block")[0], (), outside)
        ends = [end for part in parts(node, "interrupt") for end in self._interrupts(part)]
        return Interruptible(body, tuple(ends), "".join(tokens(node)), place(self._source, node))

    def _interrupts(self, node: Node) -> Iterator[Interrupt]:
        role = self._role(tokens(node)[0])
        for signature in parts(node, "signature"):
            label = self._label(signature)
            if self._where(signature) is not None:
                hint = "an interrupt may say any value: take the condition away."
                raise Unsupported("a condition on an interrupt", at=label.at, hint=hint)
            yield Interrupt(label, role, label.at)

    def _again(self, node: Node, inside: tuple[str, ...], outside: Outside) -> Again:
        name = tokens(node)[0]
        at = place(self._source, name)
        if name not in inside:
            raise unknown_loop(str(name), inside, outside, at)
        brackets = tokens(node, "BRACKET")
        return Again(str(name), at, tuple(v for b in brackets for v in values(b[1:-1], self._placed(b))))

    def _variables(self, node: Node) -> tuple[Variable, ...]:
        """Read the values that a loop carries; that their roles are there is for the check to say."""
        brackets = tokens(node, "BRACKET")
        return tuple(v for b in brackets for v in variables(b[1:-1], Role[Any, Any], self._placed(b)))

    def _placed(self, token: Token) -> Placed:
        """Return places inside a token that stands in brackets."""
        begins = (token.start_pos or 0) + 1
        return lambda start, length: self._source.at(begins + start, length)

    def _do(self, node: Node) -> Call:
        at = place(self._source, node)
        if tokens(node):
            hint = f"take the `{tokens(node)[0]}:` away."
            raise Unsupported(f"do {tokens(node)[0]}: …", at=at, hint=hint)
        target = parts(node, "qualified")[0]
        if dotted(target) in self._nested:
            raise is_nested(dotted(target), place(self._source, target))
        arguments = [self._argument(a) for part in parts(node, "arguments") for a in parts(part, "argument")]
        roles = tuple(self._passed(role) for role in parts(node, "rolearg"))
        return Call(self._targets.go_on(target, tuple(arguments)), roles, at)

    def _calls(self, node: Node) -> Invite:
        """Read the call of a nested protocol."""
        at = place(self._source, node)
        for arguments in parts(node, "arguments"):
            hint = "give the nested protocol no types."
            raise Unsupported("calls with types", at=place(self._source, arguments), hint=hint)
        target = parts(node, "qualified")[0]
        called = self._targets.start(dotted(target), place(self._source, target))
        given = tuple(self._role(name) for names in parts(node, "names") for name in tokens(names))
        return invite(self._role(tokens(node)[0]), called, given, at)

    def _passed(self, node: Node) -> AnyRole:
        role, *renamed = tokens(node)
        if renamed:
            hint = "give the roles in the order of the protocol's parameters, without `as`."
            raise Unsupported(f"{role} as {renamed[0]}", at=place(self._source, role), hint=hint)
        return self._role(role)

    def _role(self, name: Token) -> AnyRole:
        known = self._known.get(str(name))
        if known is None:
            raise unknown_role(str(name), self._declaration.name, self._known, place(self._source, name))
        return known

    # ------------------------------------------------------------------------------------- messages and payloads

    def _message(self, node: Node) -> Send | Crash:
        if _is_crash(node):
            return self._crash(node)
        signature = parts(node, "signature")[0]
        label, where = self._label(signature), self._where(signature)
        sender = self._role(tokens(node)[0])
        receivers = tuple(self._role(name) for name in tokens(parts(node, "names")[0]))
        within, after = self._time(node, "within"), self._time(node, "after")
        return Send(sender, receivers, label, within, label.at, where, after=after)

    def _connect(self, node: Node) -> Send:
        """Read a message that connects; where none is written, it is called `Connect`."""
        signatures = parts(node, "signature")
        label = self._label(signatures[0]) if signatures else Label("Connect")
        where = self._where(signatures[0]) if signatures else None
        one, other = map(self._role, tokens(node))
        return Send(one, (other,), label, None, place(self._source, node), where, connects=True)

    def _where(self, signature: Node) -> Expression | None:
        """Read the conditions of a message: whichever field one stands at, all of them must be true."""
        where: Expression | None = None
        for payloads in parts(signature, "payloads"):
            for payload in parts(payloads, "field", "unnamed", "condition"):
                for refinement in tokens(payload, "REFINEMENT"):
                    where = both(where, condition(refinement[1:-1], self._placed(refinement)))
        return where

    def _crash(self, node: Node) -> Crash:
        for limit in parts(node, "within", "after"):
            hint = f"nobody sends it, so there is no time for it: take the `{limit.data}` away."
            raise PolicySyntaxError(f"a crash has no `{limit.data}`", at=place(self._source, limit), hint=hint)
        receivers = tuple(self._role(name) for name in tokens(parts(node, "names")[0]))
        return Crash(self._role(tokens(node)[0]), receivers, place(self._source, node))

    def _time(self, node: Node, word: str) -> float | None:
        found = parts(node, word)
        for again in found[1:]:
            at = place(self._source, again)
            raise PolicySyntaxError(f"`{word}` is there twice", at=at, hint="take one of the two away.")
        return self._seconds(tokens(found[0], "DURATION")[0]) if found else None

    def _seconds(self, duration: Token) -> float:
        try:
            return seconds(duration)
        except ValueError as problem:
            at = place(self._source, duration)._replace(width=len(duration))
            raise PolicySyntaxError(f"`{duration}` is not a time", at=at, hint=f"{problem}.") from None

    def _label(self, node: Node) -> Label:
        """Read the head of a message: a parameter of the protocol stands for what was given for it."""
        at = place(self._source, node)
        name = self._label_name(node)
        payloads = parts(node, "payloads")
        if not payloads and name in self._environment:
            given = self._environment[name].label
            return Label(given.name, given.fields, at=at)
        return Label(name, self._fields(payloads), at=at)

    def _label_name(self, node: Node) -> str:
        for name in parts(node, "qualified"):
            if len(name.children) > 1:
                hint = "a message is named by one word; declare it in this file."
                raise Unsupported(dotted(name), at=place(self._source, name), hint=hint)
            return dotted(name)
        return ""

    def _fields(self, payloads: Iterable[Node]) -> tuple[Field, ...]:
        return tuple(self._field(field) for part in payloads for field in parts(part, "field", "unnamed", "delegated"))

    def _field(self, node: Node) -> Field:
        if node.data == "delegated":
            hint = "a policy does not hand conversations over: send an id, and start a conversation of its own."
            construct = f"{dotted(parts(node, 'qualified')[0])}@{tokens(node)[0]}"
            self._ignored.append(Unsupported(construct, at=place(self._source, node), hint=hint))
            return Field("", dotted(parts(node, "qualified")[0]).rpartition(".")[2])
        name = "".join(tokens(node))
        sort = parts(node, "sort")[0]
        field = Field(name, self._sort(sort))
        ensure_field(field, place(self._source, sort))
        return field

    def _sort(self, node: Node) -> str:
        name = parts(node, "qualified")[0]
        inside = parts(node, "sort")
        word = dotted(name).rpartition(".")[2]
        if not inside and word in self._environment:
            return self._environment[word].sort or word
        return f"{word}<{', '.join(map(self._sort, inside))}>" if inside else word

    def _argument(self, node: Node) -> Argument:
        fields = self._fields(parts(node, "payloads"))
        for sort in parts(node, "sort"):
            word = self._sort(sort)
            given = self._environment.get(dotted(parts(sort, "qualified")[0]))
            plain = Label(word, fields)
            return Argument(given.label if given and not parts(node, "payloads") else plain, word)
        return Argument(Label("", fields), "")


def _is_crash(message: Node) -> bool:
    """Return whether it is `crash from A to B;`. A message of that name is written with brackets: `crash()`."""
    signature = parts(message, "signature")[0]
    return not parts(signature, "payloads") and [dotted(name) for name in parts(signature, "qualified")] == ["crash"]
