"""From a text to a tree, and from a parser's complaint to a sentence.

The grammar is `scribble.lark`. Lark knows which tokens it would have taken; here they become words that a
person would use (`;`, a role, a statement), with the likely slip as a hint: `form` for `from`, a `;` left out at
the end of the line before, a bracket that is never closed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from convpolicy.errors import PolicySyntaxError, Position, one_of
from convpolicy.policy.nearest import nearest
from convpolicy.policy.source import Source
from convpolicy.policy.wellformed import RESERVED

__all__ = ["Node", "parts", "place", "tokens", "tree_of"]

Node = Tree[Token]

# Accepted here and there, but never what a reader of an error text is looking for.
_RARE = {
    "AT",
    "CALLS",
    "CONNECT",
    "DOT",
    "LESSTHAN",
    "REFINEMENT",
    "BRACKET",
    "RELIABLE",
    "_AS",
    "COLON",
    "SELF",
    "_WITHIN",
    "_AFTER",
}
_SIGNS = {
    "_SEMICOLON": "`;`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "DOT": "`.`",
    "AT": "`@`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LESSTHAN": "`<`",
    "MORETHAN": "`>`",
    "STRING": 'a text in `"…"`',
    "DURATION": "a time such as `30s`",
    "$END": "the end of the file",
}
_NAMED_AFTER = {
    **dict.fromkeys(("from", "to", "at", "role", "by"), "a role"),
    **dict.fromkeys(("rec", "continue"), "a recursion variable"),
    **dict.fromkeys(("do", "protocol", "calls"), "the name of a protocol"),
}


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("scribble.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def tree_of(source: Source) -> Node:
    """Parse a source.

    Raises:
        PolicySyntaxError: the text is not in the language; the place is the first where it cannot be.
    """
    if deep := source.too_deep():
        hint = "take inner parts out, as `aux global protocol`."
        raise PolicySyntaxError("brackets are nested too deeply here", at=deep, hint=hint)
    try:
        return _parser().parse(source.code)  # pyright: ignore[reportUnknownMemberType] - lark's types are not whole
    except UnexpectedToken as unexpected:
        raise _explained(source, unexpected) from None
    except UnexpectedCharacters as unexpected:
        at = source.position(unexpected.line, unexpected.column, 1)
        character = at.source[at.column - 1 : at.column]
        raise PolicySyntaxError(f"`{character}` means nothing here", at=at, hint="take it away.") from None


def parts(node: Node, *rules: str) -> list[Node]:
    """Return the children of a node that are nodes of these rules."""
    return [child for child in node.children if isinstance(child, Tree) and child.data in rules]


def tokens(node: Node, kind: str = "NAME") -> list[Token]:
    """Return the children of a node that are tokens of this kind."""
    return [child for child in node.children if isinstance(child, Token) and child.type == kind]


def place(source: Source, node: Node | Token) -> Position:
    """Return where a node or a token begins; the caret goes under its first word."""
    if isinstance(node, Token):
        return source.position(node.line or 1, node.column or 1)
    return source.position(node.meta.line, node.meta.column)


# ------------------------------------------------------------------------------------------ what went wrong


class _Before(NamedTuple):
    """The word before the place of an error, and where it begins and ends."""

    text: str
    start: int
    end: int


def _explained(source: Source, unexpected: UnexpectedToken) -> PolicySyntaxError:
    token: Token = unexpected.token
    accepts: set[str] = unexpected.accepts
    ends = token.type == "$END"
    before = _before(source.code if ends else source.code[: token.start_pos])
    if ends and (opened := source.unclosed()):
        bracket = opened.source[opened.column - 1]
        closing = {"{": "}", "(": ")"}[bracket]
        return PolicySyntaxError(f"this `{bracket}` is never closed", at=opened, hint=f"close it with `{closing}`.")
    expected = one_of(_expected(accepts, before.text))
    if "_SEMICOLON" in accepts and "\n" in source.code[before.end : token.start_pos]:
        hint = "end the statement with `;`."
        return PolicySyntaxError(f"expected {expected} after `{before.text}`", at=source.at(before.end, 1), hint=hint)
    if ends:
        problem = f"the text ends here, but {expected} is expected"
        return PolicySyntaxError(problem, at=source.at(before.start), hint=_PROTOCOL)
    at = place(source, token)
    found = at.source[at.column - 1 : at.column - 1 + at.width]
    hint = _slip(found, accepts, before.text) or _advice(found, accepts, before.text)
    return PolicySyntaxError(f"expected {expected}, found `{found}`", at=at, hint=hint)


def _before(code: str) -> _Before:
    words = list(re.finditer(r'"[^"\n]*"|\w+|\S', code))
    return _Before(words[-1][0], words[-1].start(), words[-1].end()) if words else _Before("", 0, 0)


_PROTOCOL = "a protocol is written `global protocol Name(role A, role B) { … }`."
_CHOICE = "a choice is written `choice at A { … } or { … }`."
_PAR = "parallel branches are written `par { … } and { … }`."
_LOOP = "a loop is written `rec X { … continue X; }`."
_BLOCK = "a block that may be interrupted is written `interruptible { … } with { Label by A; }`."
_MESSAGE = "a message is written `Label(field: sort) from A to B;`."

# How to write what the word before the place, or the word found there, belongs to.
_WRITTEN = {
    **dict.fromkeys(("protocol", "global", "aux", "role"), _PROTOCOL),
    **dict.fromkeys(("choice", "or"), _CHOICE),
    **dict.fromkeys(("par", "and"), _PAR),
    **dict.fromkeys(("rec", "continue"), _LOOP),
    **dict.fromkeys(("interruptible", "with", "by"), _BLOCK),
    "do": "a call is written `do Other(A, B);`.",
    "within": "a time limit is written `within 30s`, before the `;`.",
    "after": "a timer is written `after 24h`, before the `;`.",
    "}": "there is a `}` too many, or something is left out before it.",
}


def _expected(accepts: set[str], before: str) -> list[str]:
    """Return what could have stood there, in the words of a reader, the likeliest first."""
    left: set[str] = set(accepts)
    words: list[str] = []
    if "_CHOICE" in left:
        words.append("a statement")
        left &= {"RBRACE"}
    elif "GLOBAL" in left:
        words.append("a protocol")
        left.clear()
    if "NAME" in left:
        words.append(_NAMED_AFTER.get(before, "a name"))
    shown = left - _RARE or left
    if "_FROM" in shown:  # the forms of local protocols: `Order to Seller;` and `Order from Buyer;`
        shown -= {"_TO"}
    elif "_TO" in shown:
        shown -= {"_SEMICOLON"}
    words += [_keyword(name) for name in sorted(shown) if name not in _SIGNS and name != "NAME"]
    words += [sign for name, sign in _SIGNS.items() if name in shown]
    return words


def _keyword(terminal: str) -> str:
    return f"`{terminal.strip('_').lower()}`"


def _slip(found: str, accepts: set[str], before: str) -> str:
    """Return a hint when the word, or the one before it, looks like a keyword written wrongly."""
    wanted = [name.strip("_").lower() for name in accepts if name not in _SIGNS and name != "NAME"]
    if meant := nearest(found, wanted):
        return f"did you mean `{meant}`?"
    if "_FROM" in accepts and before not in RESERVED and (meant := nearest(before, RESERVED, cutoff=0.7)):
        return f"did you mean `{meant}` instead of `{before}`?"
    return ""


def _advice(found: str, accepts: set[str], before: str) -> str:
    if "COLON" in accepts and before.isidentifier() and "RPAR" in accepts:
        return f"a field is written `name: sort`, as in `{before}: str`."
    if accepts == {"COLON"}:
        return f"a block is named with a colon, as in `interruptible {before}: {{ … }} with {{ … }}`."
    if not {"_WITH", "_BY"}.isdisjoint(accepts) or (before == ":" and "LBRACE" in accepts):
        return _BLOCK
    if "_ROLE" in accepts or ("GLOBAL" in accepts and "_CHOICE" not in accepts):
        return _PROTOCOL
    return _WRITTEN.get(found) or _WRITTEN.get(before) or _MESSAGE
