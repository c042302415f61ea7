"""Policies, machines and conversations, drawn.

`f"{machine:table}"` and `f"{policy:sequence}"` come here; so does whatever draws a value in a notebook. Nothing
here decides anything: values are read and turned into text.
"""

from convpolicy.show.chart import Chart, chart
from convpolicy.show.evidence import evidence, explained
from convpolicy.show.formats import formats, markdown, render
from convpolicy.show.score import Frame, Message, Note, Score

__all__ = [
    "Chart",
    "Frame",
    "Message",
    "Note",
    "Score",
    "chart",
    "evidence",
    "explained",
    "formats",
    "markdown",
    "render",
]
