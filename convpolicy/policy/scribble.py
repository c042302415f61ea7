"""Policies as text: Scribble, read and printed.

`parse` reads a file's text into a `Module`, from which each protocol can be had as a `Policy`; `load` and
`loads` do both. `render` prints a policy, and `loads(render(policy)) == policy` for every policy; `format_text`
lays out a file anew and keeps all of it, comments too. The notation is described in `scribble.lark`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convpolicy.policy.layout import lay_out
from convpolicy.policy.model import Policy
from convpolicy.policy.module import Module, parse, read
from convpolicy.policy.payload import declare
from convpolicy.policy.printing import render
from convpolicy.policy.source import Source
from convpolicy.policy.syntax import tree_of

__all__ = ["Module", "format_text", "load", "loads", "parse", "read", "render"]


def load(path: str | Path, protocol: str | None = None, types: Iterable[type[Any]] = ()) -> Policy:
    """Read a policy from a file; `types` are the payload classes of the messages that bear their names.

    Raises:
        OSError: the file cannot be read.
        PolicyError: the policy cannot be read from it; see `Module.policy` and `payload.declare`.
    """
    return declare(_whole(read(path).policy(protocol)), types)


def loads(text: str, protocol: str | None = None, types: Iterable[type[Any]] = (), file: str = "<text>") -> Policy:
    """Read a policy from a text; as `load`."""
    return declare(_whole(parse(text, file).policy(protocol)), types)


def format_text(text: str, file: str = "<text>") -> str:
    """Lay out the text of a policy file; `format_text(format_text(t)) == format_text(t)`.

    Raises:
        PolicySyntaxError: the text is not in the language.
    """
    source = Source(text, file)
    tree_of(source)
    return lay_out(source)


def _whole(policy: Policy) -> Policy:
    """Refuse a policy that says more than is carried out."""
    for ignored in policy.ignored:
        raise ignored
    return policy
