"""The agent: `python agent.py [ADDRESS] [--mail ADDRESS] [--patience SECONDS] [--retire]`, until Ctrl-C.

It knows some answers, and is late with the others. After three questions, or with `--retire`, it offers mail instead:
the other service bus, at `--mail`, at which it plays as well.
"""

import asyncio
import sys
from argparse import ArgumentParser

from messages import (
    ADDRESS,
    MAIL,
    Agent,
    Answer,
    Call,
    Closed,
    Late,
    Move,
    OtherChannel,
    Question,
    Retired,
    Stay,
    Thanks,
    Wait,
    channels,
    support,
)

from convpolicy import ConvPolicyError, Dialogue

ANSWERS = {"Where is my parcel?": "Lovelace Road 3.", "When are you open?": "Always."}

agent = support.service(Agent)
patience = 600.0  # seconds, after which the agent is late
retiring = False  # whether this channel is being given up
mail = MAIL


async def find_out(text: str) -> str:
    """Return the answer, which nobody may know yet."""
    return ANSWERS[text] if text in ANSWERS else await asyncio.Future[str]()


@agent.on(Question)
async def work_on(
    question: Question, conversation: Dialogue[Answer | Late | OtherChannel]
) -> Answer | Late | OtherChannel:
    """Answer in time, or say that it takes longer, or that it should be talked about elsewhere."""
    print(f"Agent received {question}")
    conversation.data["question"] = question.text
    if retiring:
        return OtherChannel(mail, "we give this channel up")
    if conversation.history.count("Question") > 3 and conversation.link != mail:
        return OtherChannel(mail, "it takes longer")
    try:
        async with asyncio.timeout(patience):
            return Answer(await find_out(question.text))
    except TimeoutError:
        return Late(round(patience / 60))


@agent.on(Wait)
def promise(wait: Wait) -> Answer:
    print(f"Agent received {wait}")
    return Answer("We write as soon as we know.")


@agent.on(Move)
def answer_there(move: Move, conversation: Dialogue[Answer]) -> Answer:
    print(f"Agent received {move}")
    return Answer(f"The answer to {str(conversation.data['question'])!r} goes to {move.address}.")


@agent.on(Stay)
def answer_here(stay: Stay) -> Answer | Retired:
    """Go on here while the channel lasts; when it ends, tell the Customer and the Desk."""
    print(f"Agent received {stay}")
    return Retired(mail) if retiring else Answer("Ask again in an hour.")


@agent.on(Call)
def hand_over(call: Call) -> None:
    print(f"Agent received {call}")


@agent.on(Thanks)
def close(thanks: Thanks) -> Closed:
    print(f"Agent received {thanks}")
    return Closed()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default=ADDRESS)
    parser.add_argument("--mail", default=MAIL)
    parser.add_argument("--patience", type=float, default=patience)
    parser.add_argument("--retire", action="store_true")
    given = parser.parse_args()
    patience, retiring, mail = given.patience, given.retire, given.mail
    try:
        agent.run(
            via=channels(given.address, mail),
            at_most=3,  # conversations; the bus lets others wait, or gives them to other agents
            started=lambda url: print(f"Agent is connected to {url}"),
        )
    except ConvPolicyError as problem:
        sys.exit(str(problem))
