"""A picture of many rows: the messages, the three roles, the policy of the gallery, and its pipeline."""

from argparse import ArgumentParser
from typing import NamedTuple, Never

from convpolicy import Pipeline, Policy, Role
from convpolicy.policy import gallery


class Row(NamedTuple):
    """The row `number` of a picture of so many rows and columns is to be painted."""

    number: int
    rows: int
    columns: int


class Painted(NamedTuple):
    """It looks so."""

    number: int
    rows: int
    text: str


Source = Role[Row, Never]("Source")
Painter = Role[Painted, Row]("Painter")
Screen = Role[Never, Painted]("Screen")

render = Policy.load(gallery.path("render"), types=[Row, Painted])


def arguments(description: str) -> ArgumentParser:
    """Return what every program of this example is told: the two addresses."""
    parser = ArgumentParser(description=description)
    parser.add_argument("todo", nargs="?", default="tcp://127.0.0.1:7001", help="where the source listens")
    parser.add_argument("painted", nargs="?", default="tcp://127.0.0.1:7002", help="where the screen listens")
    return parser


def pipeline(todo: str, painted: str) -> Pipeline:
    """Return the pipeline. A painter that is silent for five seconds is given up."""
    return Pipeline({(Source, Painter): todo, (Painter, Screen): painted}, lease=5.0)
