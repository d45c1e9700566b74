"""A ProxyCommand for `ProxyUseFdpass yes`: name the node before the SSH banner, hand ssh the bare socket.

`python pass_fd.py HOST PORT NODE NODE_PORT`; the socket goes to ssh over the Unix socket that is our stdout.
"""

from __future__ import annotations

import socket
import sys

STDOUT = 1


def main(host: str, port: str, node: str, node_port: str) -> None:
    """Connect, name the node, pass the socket on."""
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"SALLYPORT1 {node} {node_port}\n".encode("ascii"))
        with socket.socket(fileno=STDOUT) as ssh:
            socket.send_fds(ssh, [b"\0"], [connection.fileno()])


if __name__ == "__main__":
    main(*sys.argv[1:])
