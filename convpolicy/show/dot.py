"""GraphViz texts of machines."""

from __future__ import annotations

from convpolicy.show.diagram import Diagram

__all__ = ["dot"]


def dot(diagram: Diagram) -> str:
    """Return the diagram in the DOT language; a doubly drawn state is one in which the role may stop."""
    nodes = [
        f"    s{node.state} [label={_quoted(node.text)}, peripheries={2 if node.final else 1}];"
        for node in diagram.nodes
    ]
    edges = [f"    s{edge.source} -> s{edge.target} [label={_quoted(edge.text)}];" for edge in diagram.edges]
    head = [
        f"digraph {_quoted(diagram.title)} {{",
        "    rankdir=LR;",
        '    node [shape=box, style=rounded, fontname="Helvetica"];',
        '    edge [fontname="Helvetica"];',
        "    start [shape=point];",
        f"    start -> s{diagram.start};",
    ]
    return "\n".join([*head, *nodes, *edges, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
