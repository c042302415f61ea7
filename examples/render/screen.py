"""The screen: `python screen.py [TODO PAINTED]` puts pictures together and shows them, until Ctrl-C."""

import sys

from messages import Painted, Screen, arguments, pipeline, render

from convpolicy import ConvPolicyError

screen = render.service(Screen)
rows: dict[int, str] = {}


@screen.on(Painted)
def show(row: Painted) -> None:
    """Keep the row, wherever it belongs; with the last one the picture is whole."""
    rows[row.number] = row.text
    if len(rows) == row.rows:
        print("\n".join(rows[number] for number in sorted(rows)), flush=True)
        rows.clear()


if __name__ == "__main__":
    given = arguments(__doc__).parse_args()
    try:
        screen.run(via=pipeline(given.todo, given.painted), started=lambda _: print("Screen waits"))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
