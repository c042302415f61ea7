"""A broker over bare pyzmq: ROUTER and DEALER, and `zmq.proxy` in between, in C. It looks at nothing."""

from __future__ import annotations

import zmq

from .programs import end_with_parent, tell

if __name__ == "__main__":
    end_with_parent()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = [context.socket(kind) for kind in (zmq.ROUTER, zmq.DEALER)]
    for socket in sockets:
        socket.set_hwm(10_000)
        socket.bind("tcp://127.0.0.1:0")
    tell([socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in sockets])
    zmq.proxy(*sockets)
