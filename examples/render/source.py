"""The source: `python source.py [TODO PAINTED] [--rows 24]` has a picture painted, and shows how far it is."""

import asyncio
import sys

from messages import Row, Source, arguments, pipeline, render

from convpolicy import BatchReport, ConvPolicyError, Pipeline
from convpolicy.cli.progress import watch


async def paint(via: Pipeline, rows: int, columns: int) -> BatchReport:
    """Put in every row, and wait until all of them are at the screen."""
    async with render.batch(Source, via=via) as batch:
        await batch.put_all(Row(number, rows, columns) for number in range(rows))
        return await watch(batch)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--columns", type=int, default=72)
    given = parser.parse_args()
    try:
        report = asyncio.run(paint(pipeline(given.todo, given.painted), given.rows, given.columns))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
    print(report)
    sys.exit(not report)
