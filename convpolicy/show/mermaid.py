"""Mermaid texts: `sequenceDiagram` for scores, `stateDiagram-v2` for machines.

Names are escaped as entity codes wherever a character could mean something to Mermaid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from convpolicy.show.diagram import Diagram
from convpolicy.show.score import Frame, Item, Message, Note, Score

__all__ = ["sequence", "states"]

_DIVIDER = {"alt": "else or", "par": "and", "interruptible": "option interrupted"}
_FRAME = {"interruptible": "critical interruptible"}  # Mermaid calls by other names what it has


def _text(text: str) -> str:
    """Escape a text: `#59;` is a semicolon."""
    return re.sub(r"[^\w !?.,()→/…-]", lambda found: f"#{ord(found.group())};", text)


# ------------------------------------------------------------------------------------------------- sequences


def sequence(score: Score) -> str:
    """Return the score as a Mermaid sequence diagram."""
    # Ids of our own, because Mermaid has reserved words (`end`) that are good role names.
    ids = {role: f"r{number}" for number, role in enumerate(score.roles)}
    lines = [f"    participant {ids[role]} as {_text(role)}" for role in score.roles]
    return "\n".join(["sequenceDiagram", *lines, *_items(score.items, ids, "    ")])


def _items(items: Iterable[Item], ids: dict[str, str], indent: str) -> Iterator[str]:
    for item in items:
        match item:
            case Message(sender, receiver, label, note):
                text = f"{label} ({note})" if note else label
                # A message without a name still needs a text, or Mermaid refuses the line.
                yield f"{indent}{ids[sender]}->>{ids[receiver]}: {_text(text) or '#32;'}"
            case Note(text, roles):
                yield f"{indent}Note over {_span(roles, ids)}: {_text(text)}"
            case Frame():
                yield from _frame(item, ids, indent)


def _frame(frame: Frame, ids: dict[str, str], indent: str) -> Iterator[str]:
    if frame.kind == "do":  # Mermaid has no frame for it
        yield f"{indent}rect rgba(128, 128, 128, 0.1)"
        yield f"{indent}    Note over {_span(frame.roles, ids)}: do {_text(frame.title)}"
    else:
        yield f"{indent}{_FRAME.get(frame.kind, frame.kind)} {_text(frame.title)}".rstrip()
    for number, section in enumerate(frame.sections):
        if number:
            yield f"{indent}{_DIVIDER[frame.kind]}"
        yield from _items(section, ids, f"{indent}    ")
    yield f"{indent}end"


def _span(roles: tuple[str, ...], ids: dict[str, str]) -> str:
    """Return the outermost of the roles: Mermaid draws a note over one or two."""
    placed = sorted((ids[role] for role in roles), key=lambda name: int(name[1:]))
    return ",".join(dict.fromkeys((placed[0], placed[-1])))


# ---------------------------------------------------------------------------------------------------- states


def states(diagram: Diagram) -> str:
    """Return the diagram as a Mermaid state diagram."""
    lines = [f'    state "{_text(node.text)}" as s{node.state}' for node in diagram.nodes]
    lines.append(f"    [*] --> s{diagram.start}")
    lines += [f"    s{edge.source} --> s{edge.target} : {_text(edge.text)}" for edge in diagram.edges]
    lines += [f"    s{node.state} --> [*]" for node in diagram.nodes if node.final]
    return "\n".join(["stateDiagram-v2", *lines])
