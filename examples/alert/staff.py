"""A member of the staff: `python staff.py CUSTOMER…` hears of changes of these customers, and of nobody else."""

import asyncio
import sys
from typing import Never

from messages import Alert, Closed, Staff, alert, options, tree

from convpolicy import ConvPolicyError, Gap, TreePlayer


async def follow(player: TreePlayer[Never, Alert | Closed], customer: str) -> None:
    """Tell what is heard of one customer."""
    async with player.join(customer) as conversation:
        print(f"Staff follows {customer}", flush=True)
        await conversation.ready(timeout=None)
        print(f"Staff hears of {customer}", flush=True)
        async for message in conversation:
            match message:
                case Gap(first, last, why):
                    print(f"messages {first} to {last} about {customer} are missing: {why}", flush=True)
                case heard:
                    print(f"Staff received {heard}", flush=True)


async def main(url: str, customers: list[str]) -> None:
    """Follow some customers at once, over one connection."""
    async with alert.player(Staff, via=tree(url)) as player, asyncio.TaskGroup() as all_at_once:
        for customer in customers:
            all_at_once.create_task(follow(player, customer))


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("customers", nargs="+")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.tree, given.customers))
    except* ConvPolicyError as problems:
        sys.exit("\n".join(str(problem) for problem in problems.exceptions))
    except* KeyboardInterrupt:
        sys.exit(130)
