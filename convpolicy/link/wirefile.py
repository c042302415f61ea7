"""A wiring as a TOML file, entry by entry, each checked, and the line of what is wrong.

[[link]]
from = "Buyer"
to = "Seller"
bus = "tcp://127.0.0.1:5555"

tomllib gives values and not their places, so these are looked for in the text: the n-th `[[link]]`, and below it the
key that an error is about.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

from convpolicy.errors import LinkError, Position, WiringError, one_of
from convpolicy.link.bus import Bus
from convpolicy.link.memory import Memory
from convpolicy.link.pipeline import Named, Pipeline
from convpolicy.link.port import Link
from convpolicy.link.tree import Tree
from convpolicy.policy.model import Role
from convpolicy.policy.nearest import did_you_mean

__all__ = ["read"]

AnyRole: TypeAlias = Role[Any, Any]
Pair: TypeAlias = tuple[AnyRole, AnyRole]

_KINDS = ("bus", "tree", "pipeline", "memory")
_KEYS = ("from", "to", *_KINDS)
_BROKER, _AT_MOST = "broker", "at_most"  # the keys that are not texts
_TABLE = re.compile(r"\s*\[\[\s*link\s*\]\]")
_PLACE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)\Z", re.DOTALL)


def read(text: str, file: str) -> dict[Pair, Link]:
    """Read a wiring's file: the link of every pair.

    Raises:
        WiringError: the text is not TOML, or not a wiring.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise _not_toml(str(problem), text, file) from problem
    entries = list(_entries(whole, _Source(file, text.splitlines())))
    links = {entry.pair: link for entry, link in _links(entries)}
    return {entry.pair: links[entry.pair] for entry in entries}


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's name and its lines."""

    file: str
    lines: list[str]

    def at(self, number: int, key: str = "") -> Position | None:
        """Return the place of a key of the n-th `[[link]]`, or of that line itself where the key is not there."""
        tables = [place for place, line in enumerate(self.lines) if _TABLE.match(line)]
        if number >= len(tables):  # written as an array in one line, or not at all
            return None
        end = tables[number + 1] if number + 1 < len(tables) else len(self.lines)
        wanted = re.compile(rf"\s*(?P<key>[\"']?{re.escape(key)}[\"']?)\s*=")
        for place in range(tables[number] + 1, end) if key else ():
            if found := wanted.match(self.lines[place]):
                return self._position(place, found.start("key"), len(found["key"]))
        header = self.lines[tables[number]]
        return self._position(tables[number], len(header) - len(header.lstrip()), len(header.strip()))

    def _position(self, place: int, indent: int, width: int) -> Position:
        return Position(self.file, place + 1, indent + 1, self.lines[place], width)

    def error(self, problem: str, hint: str, number: int | None = None, key: str = "") -> WiringError:
        at = None if number is None else self.at(number, key)
        return WiringError(problem if at else f"{self.file}: {problem}", at=at, hint=hint)


def _not_toml(problem: str, text: str, file: str) -> WiringError:
    hint = 'A wiring is TOML: [[link]], and below it lines such as  from = "Buyer"'
    found = _PLACE.match(problem)
    if not found:
        return WiringError(f"{file}: {problem}", hint=hint)
    line, column = int(found[2]), int(found[3])
    return WiringError(found[1], at=Position(file, line, column, text.splitlines()[line - 1]), hint=hint)


# ------------------------------------------------------------------------------------------------------ entries


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `[[link]]`: its number, who speaks to whom, which kind of link carries it, and where that is."""

    number: int
    pair: Pair
    kind: str
    address: str
    source: _Source
    broker: bool = False
    at_most: tuple[int, float] | None = None

    def made(self, make: Callable[[], Link]) -> Link:
        """Make the link; what is wrong with it is wrong in this line."""
        try:
            return make()
        except (LinkError, WiringError) as problem:
            what, _, hint = str(problem).partition("\n")
            raise self.source.error(what, hint.strip(), self.number, self.kind) from problem


def _entries(whole: Mapping[str, object], source: _Source) -> Iterator[_Entry]:
    for key in whole:
        if key != "link":
            hint = f"{did_you_mean(key, ['link'])}A wiring has one [[link]] for each pair of roles, and nothing else."
            raise source.error(f"a wiring has no `{key}`", hint)
    tables = whole.get("link", [])
    if not isinstance(tables, list) or not tables:
        raise source.error("there is no link", 'Write [[link]], and below it  from = "A"  to = "B"  bus = "tcp://…"')
    known: set[Pair] = set()
    for number, table in enumerate(cast("list[object]", tables)):
        entry = _entry(number, table, source)
        if entry.pair in known:
            one, other = entry.pair
            raise source.error(f"({one}, {other}) is wired twice", "Leave one of the two out.", number)
        known.add(entry.pair)
        yield entry


def _entry(number: int, table: object, source: _Source) -> _Entry:
    if not isinstance(table, dict):
        raise source.error("a link is a table", 'Write [[link]], and below it  from = "A"  to = "B"  bus = "tcp://…"')
    given = cast("dict[str, object]", table)
    texts = dict(_texts(number, given, source))
    kinds = [kind for kind in _KINDS if kind in texts]
    if len(kinds) != 1:
        named = one_of(kinds, word="and") if kinds else "no link"
        raise source.error(
            f"this pair has {named}", f"Give it one of {one_of(_KINDS)}.", number, kinds[-1] if kinds else ""
        )
    roles = [_role(number, key, texts, source) for key in ("from", "to")]
    if roles[0] == roles[1]:
        raise source.error(f"{roles[0]} is wired to itself", "Name two different roles.", number, "to")
    broker = _brokered(number, given, kinds[0], source)
    at_most = _capped(number, given, kinds[0], source)
    return _Entry(number, (roles[0], roles[1]), kinds[0], texts[kinds[0]], source, broker, at_most)


def _brokered(number: int, table: Mapping[str, object], kind: str, source: _Source) -> bool:
    broker = table.get(_BROKER, False)
    if not isinstance(broker, bool):
        raise source.error(
            f"`{_BROKER}` is true or false", f"Write it without quotes:  {_BROKER} = true", number, _BROKER
        )
    if broker and kind not in ("bus", "pipeline"):
        raise source.error(f"no service bus stands behind a {kind}", "Leave it out, or use a bus.", number, _BROKER)
    return broker


def _capped(number: int, table: Mapping[str, object], kind: str, source: _Source) -> tuple[int, float] | None:
    if _AT_MOST not in table:
        return None
    if kind != "tree":
        raise source.error(f"a {kind} has no `{_AT_MOST}`", "Leave it out, or use a tree.", number, _AT_MOST)
    match table[_AT_MOST]:
        case [int(count), int() | float() as seconds] if count >= 1 and seconds > 0 and not isinstance(count, bool):
            return count, seconds
        case _:
            hint = f"Write how many rounds in how many seconds:  {_AT_MOST} = [3, 604_800]"
            raise source.error(f"`{_AT_MOST}` is a number and a time", hint, number, _AT_MOST)


def _texts(number: int, table: Mapping[str, object], source: _Source) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if key in (_BROKER, _AT_MOST):
            continue
        if key not in _KEYS:
            hint = (
                f"{did_you_mean(key, (*_KEYS, _BROKER, _AT_MOST))}A link has `from`, `to`, and one of {one_of(_KINDS)}."
            )
            raise source.error(f"a link has no `{key}`", hint, number, key)
        if not isinstance(value, str):
            raise source.error(f"`{key}` is a text", f'Write it in quotes:  {key} = "…"', number, key)
        yield key, value


def _role(number: int, key: str, texts: Mapping[str, str], source: _Source) -> AnyRole:
    if key not in texts:
        raise source.error(f"this link has no `{key}`", f'Say which role:  {key} = "Buyer"', number)
    try:
        return Role(texts[key])
    except ValueError as problem:
        raise source.error(f"`{key}` is not a role name", str(problem), number, key) from problem


# -------------------------------------------------------------------------------------------------------- links


def _links(entries: Iterable[_Entry]) -> Iterator[tuple[_Entry, Link]]:
    """Yield every entry with its link; equal addresses are one link, and pipelines that meet are one chain."""
    groups: dict[object, list[_Entry]] = {}
    pipelines: list[_Entry] = []
    for entry in entries:
        if entry.kind == "pipeline":
            pipelines.append(entry)
        else:
            root = entry.pair[0] if entry.kind == "tree" else None  # two roots at one address are two trees
            groups.setdefault((entry.kind, entry.address, root), []).append(entry)
    for group in (*groups.values(), *_chains(pipelines)):
        link = group[0].made(partial(_link, group))
        yield from ((entry, link) for entry in group)


def _link(group: Sequence[_Entry]) -> Link:
    first = group[0]
    match first.kind:
        case "bus":
            return Bus(first.address, broker=any(entry.broker for entry in group))
        case "tree":
            caps = [entry.at_most for entry in group if entry.at_most is not None]
            return Tree(first.address, root=first.pair[0], at_most=caps[0] if caps else None)
        case "pipeline":
            stages: dict[tuple[Named, Named], str | Link] = {
                entry.pair: Bus(entry.address, broker=True) if entry.broker else entry.address for entry in group
            }
            return Pipeline(stages)
        case _:
            return Memory()


def _chains(entries: Iterable[_Entry]) -> list[list[_Entry]]:
    """Return the entries in groups, such that one that goes on where another ends is in the same group."""
    chains: list[list[_Entry]] = []
    for entry in entries:
        touching = [chain for chain in chains if any(_meet(entry.pair, other.pair) for other in chain)]
        chains = [chain for chain in chains if chain not in touching]
        chains.append([*(other for chain in touching for other in chain), entry])
    return chains


def _meet(one: Pair, other: Pair) -> bool:
    return one[1] == other[0] or other[1] == one[0]
