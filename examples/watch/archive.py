"""The archive: `python archive.py [BUS] [TREE]` keeps what happens, and tells what has happened in a conversation."""

from messages import Archive, Ask, Enough, Happened, History, Look, Unknown, arguments, watch
from observing import run

archive = watch.service(Archive)
kept: dict[str, list[str]] = {}  # the events of every conversation, by its id


def keep(happened: Happened) -> None:
    """Add what has happened to the history of its conversation."""
    kept.setdefault(happened.conversation, []).append(f"{happened.what} {happened.message or happened.reason}".strip())


@archive.on(Look)
def begin(look: Look) -> None:
    """A viewer will ask."""
    print(f"Archive received {look}", flush=True)


@archive.on(Ask)
def tell(ask: Ask) -> History | Unknown:
    """Find a conversation by its id, or by the beginning of it; `last` is the newest one."""
    print(f"Archive received {ask}", flush=True)
    newest = list(kept)[-1:] if ask.conversation == "last" else []
    found = newest or [known for known in kept if ask.conversation and known.startswith(ask.conversation)]
    return History(found[0], kept[found[0]]) if found else Unknown(ask.conversation)


@archive.on(Enough)
def end(enough: Enough) -> None:
    """A viewer asks nothing more."""
    print(f"Archive received {enough}", flush=True)


if __name__ == "__main__":
    given = arguments(__doc__).parse_args()
    run(archive, keep, given.address, given.tree)
