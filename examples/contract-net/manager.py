"""The manager: `python manager.py [ADDRESS]` gives a task to the contractor who does it for least."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from messages import (
    ADDRESS,
    Accept,
    Answers,
    CallForProposals,
    Closed,
    Done,
    Failed,
    First,
    Manager,
    Propose,
    Refuse,
    Reject,
    Says,
    Second,
    Third,
    contract_net,
)

from convpolicy import Bus, ConvPolicyError, Role

Contractor = Role[Answers, Says]


async def award(via: Bus, call: CallForProposals) -> None:
    """Ask one contractor after the other, so that it is clear whose answer comes; then give the task to one."""
    proposals: dict[Contractor, Propose] = {}
    async with contract_net.join(Manager, via=via) as conversation:
        for contractor in (First, Second, Third):
            await conversation.send(call, to=contractor)
            answer = await conversation.receive(Propose, Refuse)
            print(f"Manager received {answer} from {contractor}")
            if isinstance(answer, Propose):
                proposals[contractor] = answer
        if not proposals:
            await conversation.send(Closed())  # to all three
            return
        winner = min(proposals, key=lambda contractor: proposals[contractor].amount)
        await conversation.send(Accept(call.task), to=winner)
        await conversation.send(Reject())  # to the two others
        print(f"Manager received {await conversation.receive(Done, Failed)} from {winner}")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    try:
        until = datetime.now(UTC) + timedelta(days=7)
        asyncio.run(award(Bus(address, broker=True), CallForProposals("paint the fence", until)))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")
