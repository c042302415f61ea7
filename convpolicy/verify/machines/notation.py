"""Machines as text: kmc's two notations have the same words, comments and complaints, which are here.

A comment is `-- …` to the end of the line or `/* … */`. A message is a name, and a payload where there is one:
`order`, `order<int>`. An error has its line and a caret, as in policies.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from convpolicy.errors import IllFormed, PolicySyntaxError, Position

__all__ = ["Token", "Tokens"]

_BLANK = r"(?P<blank>\s+|--[^\n]*|/\*.*?\*/)"
_DIRECTIVE = r"(?P<directive>\.[a-z]+)"
_REST = (
    r"(?P<word>\w+)"
    r"|(?P<payload><[^<>\n]*>)"
    r"|(?P<sign>[!?;:,.{}])"
    r"|(?P<open>/\*)"
    r"|(?P<other>.)"
)
_END = "the end of the file"


class Token(NamedTuple):
    """A word, sign, payload or directive, and where it is; `text` is empty at the end of the file."""

    kind: str
    text: str
    at: Position

    def __str__(self) -> str:
        return f"`{self.text}`" if self.text else _END


class Tokens:
    """The words of a text, one after the other; `.end` is one word where there are `directives`.

    Raises:
        PolicySyntaxError: a comment is never closed, or a character means nothing.
    """

    def __init__(self, text: str, file: str, *, directives: bool = False) -> None:
        self._text, self._file = text, file
        self._lines = [line.rstrip("\r").replace("\t", " ") for line in text.split("\n")]
        pattern = "|".join([_BLANK, *([_DIRECTIVE] if directives else []), _REST])
        found = re.finditer(pattern, text, re.DOTALL)
        self._tokens = [self._token(one) for one in found if one.lastgroup != "blank"]
        self._place = 0

    @property
    def next(self) -> Token:
        """The token that comes next."""
        return self.ahead(0)

    def ahead(self, distance: int) -> Token:
        """Return the token that comes `distance` after the next."""
        place = self._place + distance
        return self._tokens[place] if place < len(self._tokens) else Token("end", "", self._position(len(self._text)))

    def take(self, wanted: str = "", *, kind: str = "", as_: str = "") -> Token:
        """Return the next token and go on behind it; it must be the text `wanted`, or of this kind.

        Raises:
            PolicySyntaxError: it is something else; `as_` says what was expected, in words.
        """
        token = self.next
        if (wanted and token.text != wanted) or (kind and token.kind != kind):
            raise self.refused(token, as_ or f"`{wanted}`")
        self._place += 1
        return token

    def takes(self, text: str) -> bool:
        """Go on behind the next token when it is this text; return whether it was."""
        found = self.next.text == text
        self._place += found
        return found

    def message(self) -> str:
        """Take the name of a message, with its payload."""
        name = self.take(kind="word", as_="the name of a message").text
        if self.next.kind != "payload":
            return name
        payload = "".join(self.take(kind="payload").text.split())
        return name if payload == "<>" else name + payload

    @staticmethod
    def refused(token: Token, expected: str, hint: str = "") -> PolicySyntaxError:
        """Return the error for a token that is not what was expected."""
        return PolicySyntaxError(f"expected {expected}, found {token}", at=token.at, hint=hint)

    @staticmethod
    def senseless(token: Token, problem: str, hint: str) -> IllFormed:
        """Return the error for what is written as it should be and makes no sense."""
        return IllFormed(problem, at=token.at, hint=hint)

    def _token(self, found: re.Match[str]) -> Token:
        kind, text = found.lastgroup or "", found[0]
        at = self._position(found.start(), len(text))
        if kind == "open":
            raise PolicySyntaxError("this comment is never closed", at=at, hint="close it with `*/`.")
        if kind == "other":
            raise PolicySyntaxError(f"`{text}` means nothing here", at=at, hint="take it away.")
        return Token(kind, text, at)

    def _position(self, offset: int, width: int = 1) -> Position:
        line = self._text.count("\n", 0, offset) + 1
        column = offset - self._text.rfind("\n", 0, offset)
        return Position(self._file, line, column, self._lines[line - 1], width)
