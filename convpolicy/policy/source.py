"""The text of a policy file: its places, its comments, and the text without them.

Scribble-Java has `//` and `/* */`; nuScr has `(* *)`, which nests, and pragmas `(*# … #*)`, which are comments
to us. Blanking them out before the grammar sees the text keeps every line and column where it was, so places
in the blanked text are places in the file.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

from convpolicy.errors import PolicySyntaxError, Position

__all__ = ["Comment", "Source"]

# What begins something in which brackets, quotes and keywords mean nothing.
_OPENING = re.compile(r'//|/\*|\(\*|"')
_NESTING = re.compile(r"\(\*|\*\)")
_BRACKETS = {"{": "}", "(": ")"}

# Far beyond what anybody can read, and well below what Python can recurse into.
_DEEPEST = 160


class Comment(NamedTuple):
    """A comment: where it starts in the text, and its text with its delimiters."""

    start: int
    text: str


class Source:
    """A text and the name of the file that it is from.

    Raises:
        PolicySyntaxError: a comment or a string is not closed; the place is where it was opened.
    """

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.comments: list[Comment] = []
        self.code = self._without_comments()

    @cached_property
    def lines(self) -> list[str]:
        """The lines, with each tab as one space so that a caret can be put under a column."""
        return [line.rstrip("\r").replace("\t", " ") for line in self.text.split("\n")]

    def position(self, line: int, column: int, width: int | None = None) -> Position:
        """Return a place; `width` defaults to that of the word there."""
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        if width is None:
            word = re.match(r"\w+", source[column - 1 :])
            width = word.end() if word else 1
        return Position(self.file, line, column, source, width)

    def at(self, offset: int, width: int | None = None) -> Position:
        """Return the place of an offset into the text."""
        line = self.text.count("\n", 0, offset) + 1
        return self.position(line, offset - self.text.rfind("\n", 0, offset), width)

    def unclosed(self) -> Position | None:
        """Return where the innermost bracket that is never closed was opened."""
        stack: list[int] = []
        for found in re.finditer(r'"[^"\n]*"|[{}()]', self.code):
            if found[0] in _BRACKETS:
                stack.append(found.start())
            elif stack and found[0] in _BRACKETS.values():
                stack.pop()
        return self.at(stack[-1], 1) if stack else None

    def too_deep(self) -> Position | None:
        """Return where brackets are nested deeper than can be read."""
        depth = 0
        for found in re.finditer(r'"[^"\n]*"|[{}()<>]', self.code):
            depth += (found[0] in "{(<") - (found[0] in "})>")
            if depth > _DEEPEST:
                return self.at(found.start(), 1)
        return None

    def _without_comments(self) -> str:
        parts: list[str] = []
        here = 0
        while opening := _OPENING.search(self.text, here):
            start = opening.start()
            end = self._end(opening[0], start)
            parts.append(self.text[here:start])
            if opening[0] == '"':
                parts.append(self.text[start:end])
            else:
                self.comments.append(Comment(start, self.text[start:end]))
                parts.append(re.sub(r"[^\n]", " ", self.text[start:end]))
            here = end
        return "".join((*parts, self.text[here:]))

    def _end(self, opening: str, start: int) -> int:
        """Return where what is opened at `start` ends."""
        match opening:
            case "//":
                end = self.text.find("\n", start)
                return len(self.text) if end < 0 else end
            case "/*":
                return self._closed("*/", start)
            case '"':
                return self._string_end(start)
            case _:
                return self._nested_end(start)

    def _closed(self, closing: str, start: int) -> int:
        end = self.text.find(closing, start + 2)
        if end < 0:
            raise self._never_closed("comment", closing, start, 2)
        return end + len(closing)

    def _string_end(self, start: int) -> int:
        end = self.text.find('"', start + 1)
        if end < 0 or "\n" in self.text[start:end]:
            raise self._never_closed("string", '"', start, 1)
        return end + 1

    def _nested_end(self, start: int) -> int:
        depth = 0
        for delimiter in _NESTING.finditer(self.text, start):
            depth += 1 if delimiter[0] == "(*" else -1
            if depth == 0:
                return delimiter.end()
        raise self._never_closed("comment", "*)", start, 2)

    def _never_closed(self, what: str, closing: str, start: int, width: int) -> PolicySyntaxError:
        where = " on the same line" if what == "string" else ""
        return PolicySyntaxError(
            f"this {what} is never closed", at=self.at(start, width), hint=f"close it with `{closing}`{where}."
        )
