"""From the text of a condition to its expression: `n > x && t > 1`.

The operators, loosest first: `||`, `&&`, `not`, the comparisons `= <> < <= > >=`, `+ -`, `*`, and the sign of a
number. They are nuScr's; `==`, `!=`, `and`, `or` and `!` are read too, and printed as nuScr writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from convpolicy.errors import PolicySyntaxError, Position
from convpolicy.policy.expressions import Binary, Expression, Literal, Name, Unary, renamed
from convpolicy.policy.model import AnyRole, Variable

__all__ = ["Placed", "condition", "values", "variables"]

# Gives the place of a part of a condition's text, from where it begins and how long it is.
Placed = Callable[[int, int], Position]

_WORD = re.compile(
    r'\s*(?P<word>"[^"\n]*"|[0-9]+(?:\.[0-9]+)?(?![\w.])|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?|<>|<=|>=|==|!=|&&|\|\||[-+*=<>!()])'
)
_SPELT = {"==": "=", "!=": "<>", "and": "&&", "or": "||", "!": "not"}
_LEVELS = (("||",), ("&&",), (), ("=", "<>", "<", "<=", ">", ">="), ("+", "-"), ("*",))
_NOT, _COMPARISONS = 2, 3
_KEYWORDS = {"true", "false", "not", "len", "and", "or"}
_MOST_WORDS = 200  # far beyond what anybody can read, and well below what Python can recurse into


class _Word(NamedTuple):
    text: str
    start: int
    length: int


def condition(text: str, placed: Placed | None = None) -> Expression:
    """Read a condition, or the value of a recursion variable.

    Raises:
        PolicySyntaxError: the text is not an expression; the place is the first where it cannot be.
    """
    return _Reader(text, placed or _in(text)).whole()


# `t<B>: (t: int{0 < t}) = t0`: the brackets, and the name that its condition calls it by, may be left out.
_VARIABLE = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)\s*<(?P<roles>[\w\s,]*)>\s*:\s*
        \(?\s*(?:(?P<own>\w+)\s*:\s*)?(?P<sort>[\w.]+)\s*(?:\{(?P<where>(?:"[^"\n]*"|[^{}"])*)\})?\s*\)?\s*
        =(?P<start>(?:"[^"\n]*"|[^,"])+)(?:,|$)""",
    re.VERBOSE,
)


def variables(text: str, role: Callable[[str], AnyRole], placed: Placed) -> tuple[Variable, ...]:
    """Read what stands behind `rec X` in brackets: the values that the loop carries. `role` makes roles of names.

    Raises:
        PolicySyntaxError: it is not written so.
    """
    found: list[Variable] = []
    here = 0
    while here < len(text):
        match = _VARIABLE.match(text, here)
        if match is None:
            hint = "a value of a loop is written such as `rounds<A, B>: int = 0`."
            raise PolicySyntaxError("this is not a recursion variable", at=placed(here, 1), hint=hint)
        found.append(_variable(match, role, placed))
        here = match.end()
    return tuple(found)


def _variable(match: re.Match[str], role: Callable[[str], AnyRole], placed: Placed) -> Variable:
    def part(group: str) -> Expression:
        return condition(match[group], _shifted(placed, match.start(group)))

    name, own = match["name"], match["own"]
    where = None if match["where"] is None else renamed(part("where"), own or name, name)
    roles = tuple(role(word) for word in match["roles"].replace(",", " ").split())
    at = placed(match.start("name"), len(name))
    return Variable(name, match["sort"].rpartition(".")[2], roles, part("start"), where, at)


def values(text: str, placed: Placed) -> tuple[Expression, ...]:
    """Read what stands behind `continue X` in brackets: what the values that the loop carries become.

    Raises:
        PolicySyntaxError: it is not a list of expressions.
    """
    parts = re.finditer(r'(?:"[^"\n]*"|[^,"])+', text)
    return tuple(condition(part[0], _shifted(placed, part.start())) for part in parts)


def _shifted(placed: Placed, by: int) -> Placed:
    return lambda start, length: placed(by + start, length)


def _in(text: str) -> Placed:
    """Return places in a text that stands alone, on one line."""
    line = " ".join(text.split("\n"))
    return lambda start, length: Position("<condition>", 1, start + 1, line, length)


class _Reader:
    def __init__(self, text: str, placed: Placed) -> None:
        self._text, self._placed = text, placed
        self._words = self._split()
        self._next = 0

    def _split(self) -> list[_Word]:
        words: list[_Word] = []
        here = 0
        while self._text[here:].strip():
            found = _WORD.match(self._text, here)
            if found is None:
                start = here + len(self._text[here:]) - len(self._text[here:].lstrip())
                raise self._error(f"`{self._text[start]}` means nothing in a condition", start, 1)
            word = found["word"]
            words.append(_Word(_SPELT.get(word, word), found.start("word"), len(word)))
            here = found.end()
        if len(words) > _MOST_WORDS:
            raise self._error(f"a condition has at most {_MOST_WORDS} words", words[_MOST_WORDS].start, 1)
        return words

    def whole(self) -> Expression:
        expression = self._level(0)
        if (left := self._peek()) is not None:
            raise self._error(f"expected an operator, found `{left.text}`", left.start, left.length)
        return expression

    def _level(self, level: int) -> Expression:
        if level == _NOT:
            return self._not()
        if level == len(_LEVELS):
            return self._signed()
        left = self._level(level + 1)
        while (word := self._peek()) is not None and word.text in _LEVELS[level]:
            self._next += 1
            left = Binary(word.text, left, self._level(level + 1), self._placed(word.start, word.length))
            if level == _COMPARISONS:
                break
        return left

    def _not(self) -> Expression:
        word = self._peek()
        if word is None or word.text != "not":
            return self._level(_NOT + 1)
        self._next += 1
        return Unary("not", self._not(), self._placed(word.start, word.length))

    def _signed(self) -> Expression:
        word = self._take("a value")
        at = self._placed(word.start, word.length)
        if word.text == "-":
            return Unary("-", self._atom(self._take("a value")), at)
        return self._atom(word)

    def _atom(self, word: _Word) -> Expression:
        at = self._placed(word.start, word.length)
        if word.text == "(":
            inside = self._level(0)
            self._close()
            return inside
        if word.text == "len":
            return self._length(at)
        if word.text in {"true", "false"}:
            return Literal("bool", word.text == "true", at)
        if word.text[0] == '"':
            return Literal("str", word.text[1:-1], at)
        if word.text[0].isdigit():
            return (
                Literal("decimal", Decimal(word.text), at) if "." in word.text else Literal("int", int(word.text), at)
            )
        if (word.text[0].isalpha() or word.text[0] == "_") and word.text not in _KEYWORDS:
            return Name(word.text, at)
        raise self._error(f"expected a value, found `{word.text}`", word.start, word.length)

    def _length(self, at: Position) -> Expression:
        opening = self._take("`(`")
        if opening.text != "(":
            raise self._error(f"expected `(`, found `{opening.text}`", opening.start, opening.length)
        inside = self._level(0)
        self._close()
        return Unary("len", inside, at)

    def _close(self) -> None:
        word = self._take("`)`")
        if word.text != ")":
            raise self._error(f"expected `)`, found `{word.text}`", word.start, word.length)

    def _peek(self) -> _Word | None:
        return self._words[self._next] if self._next < len(self._words) else None

    def _take(self, expected: str) -> _Word:
        word = self._peek()
        if word is None:
            end = len(self._text.rstrip())
            raise self._error(f"the condition ends here, but {expected} is expected", max(0, end - 1), 1)
        self._next += 1
        return word

    def _error(self, problem: str, start: int, length: int) -> PolicySyntaxError:
        hint = "a condition is written such as `quantity > 0 && amount = Order.amount`."
        return PolicySyntaxError(problem, at=self._placed(start, length), hint=hint)
