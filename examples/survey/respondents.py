"""People who answer: `python respondents.py [WIRING] COUNT [FIRST]` is so many of them (10), numbered from FIRST (1),
until Ctrl-C.

Each is a player of its own, and all of them hear and speak over the same connections. The n-th likes the q-th question
`(n + q) % 5 + 1`; every tenth would rather not say.
"""

import asyncio
import signal
import sys

from messages import Answers, Finished, NoAnswer, NoMore, Questionnaire, Respondent, survey, wiring, words

from convpolicy import ConvPolicyError, Service

Says = Answers | NoAnswer | NoMore
Hears = Questionnaire | Finished


def respondent(number: int) -> Service[Says, Hears]:
    """Return one of them."""
    service = survey.service(Respondent)

    @service.on(Questionnaire)
    def answer(asked: Questionnaire) -> Answers | NoAnswer:
        if number % 10 == 0:
            return NoAnswer(asked.number)
        return Answers(asked.number, [(number + question) % 5 + 1 for question in range(len(asked.questions))])

    @service.on(Finished)
    def end(finished: Finished) -> NoMore:  # noqa: ARG001 - a handler takes its message
        return NoMore()

    return service


async def answer_all(numbers: range) -> None:
    """Start all of them, and let them answer until the program is told to end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    playing = await respondent(numbers[0]).start(wiring(), timeout=60.0)  # for the surveyor
    for number in numbers[1:]:
        playing.beside(respondent(number))
    print(f"{len(numbers)} respondents wait", flush=True)
    await told.wait()
    await playing.stop(drain=0.0)


if __name__ == "__main__":
    count, first = (*map(int, words()), 1)[:2] if words() else (10, 1)
    try:
        asyncio.run(answer_all(range(first, first + count)))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
