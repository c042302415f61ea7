"""Machines as aligned text: a line for each move."""

from __future__ import annotations

from collections.abc import Iterator

from convpolicy.show.diagram import Diagram, Edge, Node

__all__ = ["table"]

Line = tuple[str, str, str]


def table(diagram: Diagram) -> str:
    """Return the diagram as three columns: the state, what the role may do there, and where it is then.

    A state in which the role may stop has a line that says so.
    """
    names = {node.state: node.name for node in diagram.nodes}
    leaving: dict[int, list[Edge]] = {}
    for edge in diagram.edges:
        leaving.setdefault(edge.source, []).append(edge)
    lines: list[Line] = [("state", "move", "next")]
    for node in diagram.nodes:
        lines += _lines(node, leaving.get(node.state, []), names)
    first, second, _ = (max(map(len, column)) for column in zip(*lines, strict=True))
    text = [f"{state:{first}}  {move:{second}}  {after}".rstrip() for state, move, after in lines]
    if not diagram.complete:
        text.append(f"… and more than these {len(diagram.nodes)} states")
    return "\n".join(text)


def _lines(node: Node, edges: list[Edge], names: dict[int, str]) -> Iterator[Line]:
    shown = node.name  # on the state's first line only
    if node.final:
        yield shown, "(may stop)", ""
        shown = ""
    for edge in edges:
        yield shown, edge.text, names[edge.target]
        shown = ""
    if shown:
        yield shown, "(cannot go on)", ""
