"""From policy to text: the policy itself first, then what it goes on as, as `aux` protocols, then what it calls.

Everything that makes two policies equal is written, so `scribble.loads(render(policy)) == policy`; a property
test holds it to that. A nested protocol has to be asked for by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from convpolicy.policy.durations import duration
from convpolicy.policy.expressions import Expression
from convpolicy.policy.layout import lay_out
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Disconnect,
    Interruptible,
    Invite,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Send,
    Seq,
    Statement,
    Variable,
    children,
)
from convpolicy.policy.source import Source

__all__ = ["render"]


def render(policy: Policy) -> str:
    """Return the text of a policy, laid out as `format_text` would."""
    return lay_out(Source("".join(_policy(policy)), policy.name))


def _policy(policy: Policy) -> Iterator[str]:
    written = dict[str, Protocol]()
    for each in (policy, *(nested for nested in policy.nested if nested.name != policy.name)):
        yield _head(each)
        for called in each.protocols:
            if written.setdefault(called.name, called) is called and called.name != policy.name:
                yield _protocol("aux global", called)


def _head(policy: Policy) -> str:
    protocol = policy.protocol(policy.name)
    if policy.fresh is not None:
        return _protocol("nested", protocol, policy.reliable, policy.fresh)
    return _protocol("explicit global" if policy.explicit else "global", protocol, policy.reliable)


def _protocol(
    kind: str, protocol: Protocol, reliable: tuple[AnyRole, ...] = (), fresh: tuple[AnyRole, ...] = ()
) -> str:
    old = (role for role in protocol.roles if role not in fresh)
    roles = ", ".join(f"reliable role {role}" if role in reliable else f"role {role}" for role in old)
    new = f"; {', '.join(f'new role {role}' for role in fresh)}" if fresh else ""
    return f"{kind} protocol {protocol.name}({roles}{new}) {{ {_statement(protocol.body)} }} "


def _blocks(between: str, inside: Iterable[str]) -> str:
    return f" {between} ".join(f"{{ {text} }}" for text in inside)


def _statement(statement: Statement) -> str:  # noqa: C901, PLR0912 - one case a statement
    inside: list[str] = []  # in a plain loop, which costs no depth of its own
    for each in children(statement):
        inside.append(_statement(each))  # noqa: PERF401
    match statement:
        case Send(sender, receivers, label, where=where, connects=True):
            return f"{_label(label, where)} connect {sender} to {_list(receivers)};"
        case Send(sender, receivers, label, where=where):
            return f"{_label(label, where)} from {sender} to {_list(receivers)}{_times(statement)};"
        case Crash(role, receivers):
            return f"crash from {role} to {_list(receivers)};"
        case Disconnect(one, other):
            return f"disconnect {one} and {other};"
        case Seq():
            return " ".join(inside)
        case Choice(chooser):
            return f"choice at {chooser} {_blocks('or', inside)}"
        case Par():
            return f"par {_blocks('and', inside)}"
        case Interruptible(_, interrupts, name):
            ends = " ".join(f"{_label(each.label, None)} by {each.role};" for each in interrupts)
            return f"interruptible {name and f'{name}: '}{_blocks('', inside)} with {{ {ends} }}"
        case Loop(name, variables=variables):
            return f"rec {name}{_bracket(variables)} {_blocks('', inside)}"
        case Again(name, values=values):
            return f"continue {name}{_bracket(values)};"
        case Call(protocol, roles):
            return f"do {protocol}({_list(roles)});"
        case Invite(caller, protocol, roles):
            return f"{caller} calls {protocol}({_list(roles)});"


def _times(send: Send) -> str:
    after = "" if send.after is None else f" after {duration(send.after)}"
    return after if send.within is None else f"{after} within {duration(send.within)}"


def _label(label: Label, where: Expression | None) -> str:
    """Return the head of a message; its condition stands behind its last field, as nuScr writes refinements."""
    if where is not None:
        return f"{label.name}({', '.join(map(str, label.fields))}{{{where}}})"
    return str(label) if label.fields or label.name in ("", "crash") else label.name


def _bracket(parts: Iterable[Variable | Expression]) -> str:
    text = ", ".join(map(str, parts))
    return f" [{text}]" if text else ""


def _list(roles: Iterable[AnyRole]) -> str:
    return ", ".join(role.name for role in roles)
