"""What convpolicy costs, measured against what a careful user of pyzmq would write by hand.

`convpolicy bench` runs it, from an installed package as well; in the source tree `python -m benchmarks` is the same.
Two programs that are compared take turns in one run, so that whatever else the machine does happens to both; ratios
are taken round by round. Every benchmark checks that all it asked for has arrived, on both sides.

    command.py    the command              rounds.py     rounds, medians, spreads, tables
    suite.py      which there are          targets.py    what is to be reached; bars.py: drawn
    machine.py    what was measured on     programs.py   processes that are asked questions
    purchase.py   the policy               seller.py, buyer_service.py, buyer_script.py: its roles
    coroutines.py what awaiting costs      async_seller.py, async_buyer.py: the roles with async handlers
    pairs.py      a seller and a buyer as processes; bare_seller.py, bare_buyer.py: the same over bare pyzmq and msgpack
    throughput.py, latency.py, tree.py, pipeline.py, durable.py, steps.py, memory.py     the benchmarks of the patterns
    bare_journal.py, bare_dbos.py                        what durable conversations are compared with
    held.py       conversations that stay open; growth.py, resume.py: many of them, and a restart with them
    hops.py       what a message costs each process of a tree and of a pipeline
    footprint.py  what one more player, client, reader and conversation takes
    processes.py  what the operating system knows of a process
    bus.py        players and buses; bus_process.py, bare_proxy.py: brokers
    storm.py      a restart with hundreds of clients; storm_end.py, storm_clients.py: both sides
    scale.py      what costs more among many than among few; crowd.py: peers in any number without a transport
    check.py      what a check costs by the size of the policy; growing.py: policies of any size; plot.py: drawn
"""
