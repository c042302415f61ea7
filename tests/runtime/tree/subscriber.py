"""A reader with handlers as a program of its own: `python subscriber.py URL` says every number that it is given."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from trees import Edition, Farewell, Publisher_, Reader, newsletter

from convpolicy import Tree

reader = newsletter.service(Reader)


@reader.on(Edition)
async def read(edition: Edition) -> None:
    print(edition.number, flush=True)


@reader.on(Farewell)
def end(farewell: Farewell) -> None:
    print(farewell.words, flush=True)


if __name__ == "__main__":
    via = Tree(sys.argv[1], root=Publisher_)
    reader.run(via=via, started=lambda url: print(f"Reader listens at {url}", flush=True))
