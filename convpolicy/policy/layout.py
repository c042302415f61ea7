"""How a policy file is laid out: two blanks a level, one statement a line, a blank line between protocols.

It works on the words of the text, not on its meaning, so everything in a file is kept: comments, annotations,
and constructs that no policy can have. A `par` whose branches are plain messages hangs them from its braces:

    par { Shipment(tracking: str) from Seller to Buyer; }
    and { Invoice(amount: decimal) from Seller to Buyer;
          Payment(amount: decimal) from Buyer to Seller; }
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from convpolicy.policy.source import Source

__all__ = ["lay_out"]

_WIDTH = 100
_INDENT = "  "

# What joins the blocks of one statement: `choice … or`, `par … and`, `interruptible … with`.
_JOINING = ("or", "and", "with")

# A `{` inside `(…)` opens a refinement, which is kept as it is; so is what stands in `[…]`.
_WORD = re.compile(r'"[^"\n]*"|\[(?:"[^"\n]*"|[^\[\]"])*\]|\w+(?:\.\w+)*|\S')
_NOT_BLANK = re.compile(r"\S")
_REFINEMENT = re.compile(r'\{(?:"[^"\n]*"|[^{}"])*\}')


def lay_out(source: Source) -> str:
    """Lay out a source that is known to be in the language."""
    items = _Tree(list(_words(source))).items()
    lines: list[str] = []
    before: _Item | None = None
    for item in items:
        if before and (item.gap or before.blocks or (item.blocks and not before.is_comment)):
            lines.append("")
        lines += _shown(item, "")
        before = item
    return "\n".join(lines) + "\n" if lines else ""


# --------------------------------------------------------------------------------------------------- the words


class _Word(NamedTuple):
    text: str
    comment: bool
    lines_before: int  # line ends between the word before and this one

    @property
    def to_line_end(self) -> bool:
        return self.text.startswith("//")


def _words(source: Source) -> Iterator[_Word]:
    comments = {comment.start: comment.text for comment in source.comments}
    here, depth = 0, 0
    while found := _NOT_BLANK.search(source.text, here):
        start = found.start()
        lines = source.text.count("\n", here, start)
        text = comments.get(start) or _word(source.code, start, depth)
        depth += (text == "(") - (text == ")")
        yield _Word(text.rstrip(), start in comments, lines)
        here = start + len(text)


def _word(code: str, start: int, depth: int) -> str:
    pattern = _REFINEMENT if depth and code[start] == "{" else _WORD
    found = pattern.match(code, start)
    return found[0] if found else code[start]


# -------------------------------------------------------------------------------------- words in their blocks


@dataclass
class _Item:
    """A comment, a statement, or a statement with blocks: `heads[i]` stands before `blocks[i]`."""

    gap: bool  # a blank line was before it
    heads: list[list[_Word]] = field(default_factory=list[list[_Word]])
    blocks: list[list[_Item]] = field(default_factory=list["list[_Item]"])
    after: list[_Word] = field(default_factory=list[_Word])  # comments and annotations on its last line

    @property
    def is_comment(self) -> bool:
        return self.heads[0][0].comment


class _Tree:
    """Reads words into items, up to the end or to the `}` that closes the block."""

    def __init__(self, words: list[_Word]) -> None:
        self._words, self._next = words, 0

    def items(self) -> list[_Item]:
        items: list[_Item] = []
        while (word := self._peek()) and word.text != "}":
            items.append(self._item())
        return items

    def _item(self) -> _Item:
        item = _Item(gap=self._words[self._next].lines_before > 1)
        first = self._words[self._next]
        if first.comment:
            item.heads.append([self._take()])
            return item
        if first.text == "@":
            item.heads.append([self._take(), self._take()])
        else:
            self._statement(item)
        item.after = self._rest_of_line()
        return item

    def _statement(self, item: _Item) -> None:
        head: list[_Word] = []
        depth = 0
        while word := self._peek():
            if word.text == "{":
                self._block(item, head)
                head = self._joining()
                if not head:
                    return
                continue
            head.append(self._take())
            depth += (word.text == "(") - (word.text == ")")
            if word.text == ";" and depth == 0:
                break
        item.heads.append(head)

    def _block(self, item: _Item, head: list[_Word]) -> None:
        """Read a block; comments that stood before its `{` go to its beginning."""
        self._take()
        item.heads.append([word for word in head if not word.comment])
        item.blocks.append([_Item(False, [[w]]) for w in head if w.comment] + self.items())
        self._take()

    def _joining(self) -> list[_Word]:
        """Take the comments and the word that join another block on, if there is one."""
        ahead = self._next
        while ahead < len(self._words) and self._words[ahead].comment:
            ahead += 1
        if ahead == len(self._words) or self._words[ahead].text not in _JOINING:
            return []
        return [self._take() for _ in range(self._next, ahead + 1)]

    def _rest_of_line(self) -> list[_Word]:
        rest: list[_Word] = []
        while (word := self._peek()) and word.lines_before == 0 and (word.comment or word.text == "@"):
            rest.append(self._take())
            if word.text == "@":
                rest.append(self._take())
        return rest

    def _peek(self) -> _Word | None:
        return self._words[self._next] if self._next < len(self._words) else None

    def _take(self) -> _Word:
        word = self._words[self._next]
        self._next += 1
        return word


# ---------------------------------------------------------------------------------------------- items as lines


def _shown(item: _Item, indent: str) -> list[str]:
    if not item.blocks:
        lines = _filled(item.heads[0], indent)
    elif _hangs(item, indent):
        lines = _hanging(item, indent)
    else:
        lines = _nested(item, indent)
    lines[-1] += _after(item.after)
    return lines


def _nested(item: _Item, indent: str) -> list[str]:
    lines: list[str] = []
    for head, block in zip(item.heads, item.blocks, strict=True):
        opening = _filled(head, indent, " {")
        if lines:
            opening = [f"{lines.pop()} {opening[0].lstrip()}", *opening[1:]]
        lines += opening
        if block:
            lines += [*_inside(block, indent + _INDENT), f"{indent}}}"]
        else:
            lines[-1] += "}"
    return lines


def _inside(block: list[_Item], indent: str) -> Iterator[str]:
    for number, item in enumerate(block):
        if item.gap and number:
            yield ""
        yield from _shown(item, indent)


def _hangs(item: _Item, indent: str) -> bool:
    """Return whether the branches are plain messages, so that they can hang from their braces."""
    plain = all(not (i.blocks or i.after or i.gap or _commented(i)) for block in item.blocks for i in block)
    if item.heads[0][0].text != "par" or not plain or not all(item.blocks):
        return False
    return all(len(line) <= _WIDTH for line in _hanging(item, indent))


def _commented(item: _Item) -> bool:
    return any(word.comment for word in item.heads[0])


def _hanging(item: _Item, indent: str) -> list[str]:
    lines: list[str] = []
    for head, block in zip(item.heads, item.blocks, strict=True):
        opening = f"{indent}{_joined(head)} {{ "
        texts = [_joined(statement.heads[0]) for statement in block]
        lines += [f"{opening if n == 0 else ' ' * len(opening)}{text}" for n, text in enumerate(texts)]
        lines[-1] += " }"
    return lines


def _filled(words: list[_Word], indent: str, ending: str = "") -> list[str]:
    """Break a line that is too long after its commas; the lines that follow are indented twice."""
    whole = indent + _joined(words) + ending
    if len(whole) <= _WIDTH or any(word.comment for word in words):
        return [whole]
    first, *parts = _parts(words)
    lines = [indent + first]
    for part in parts:
        if len(lines[-1]) + 1 + len(part) + len(ending) <= _WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"{indent}{2 * _INDENT}{part}")
    return [*lines[:-1], lines[-1] + ending]


def _parts(words: list[_Word]) -> Iterator[str]:
    """Yield the texts between commas, each with its comma."""
    start = 0
    for number, word in enumerate(words, 1):
        if word.text == "," or number == len(words):
            yield _joined(words[start:number])
            start = number


def _after(words: list[_Word]) -> str:
    """Return what follows a statement on its line: annotations close to it, comments apart from it."""
    text = ""
    for word in words:
        text += f"  {word.text}" if word.comment else f" {word.text}" if word.text == "@" else word.text
    return text


def _joined(words: list[_Word]) -> str:
    text = ""
    for number, word in enumerate(words):
        if number and words[number - 1].to_line_end:
            text += "\n" + 2 * _INDENT
        elif number and _apart(words[number - 1].text, word.text, words[number + 1 :]):
            text += " "
        text += word.text
    return text


def _apart(left: str, right: str, following: list[_Word]) -> bool:
    """Return whether a blank goes between two words of a line."""
    if left in {"(", "<", "@", "."} or right in {",", ";", ":", ")", ">", "."}:
        return False
    named = left[-1].isalnum() or left[-1] in "_>"
    match right[0]:
        case "(":
            return not named
        case "<":
            return left in {"type", "data", "sig"}
        case "{":
            return False
        case "@":
            return bool(following) and following[0].text.startswith('"')
        case _:
            return True
