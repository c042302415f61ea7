"""A painter: `python painter.py [TODO PAINTED]` paints rows of the Mandelbrot set until Ctrl-C. Start several."""

import sys

from messages import Painted, Painter, Row, arguments, pipeline, render

from convpolicy import ConvPolicyError

painter = render.service(Painter)

SHADES = " .:-=+*#%@"
ROUNDS = 1000


@painter.on(Row)
def paint(row: Row) -> Painted:
    imaginary = 2.4 * row.number / max(1, row.rows - 1) - 1.2
    points = (complex(3.2 * column / max(1, row.columns - 1) - 2.2, imaginary) for column in range(row.columns))
    return Painted(row.number, row.rows, "".join(map(shade, points)).rstrip())


def shade(point: complex) -> str:
    """Return how soon the point escapes: the darkest never does."""
    z = 0j
    for count in range(ROUNDS):
        z = z * z + point
        if abs(z) > 2:
            return SHADES[min(count, len(SHADES) - 2)]
    return SHADES[-1]


if __name__ == "__main__":
    given = arguments(__doc__).parse_args()
    try:
        painter.run(via=pipeline(given.todo, given.painted), started=lambda _: print("Painter waits"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
