"""The SSH edge: people on one side, nodes on the other, every byte between them seen and kept.

    person ══TCP══► listener ──► PersonConnection ──channel──► PersonConnection ──► Visit ──► node
                    limits       at the bastion     web1:22    in the node's name    │  ssh.connect
                                 ssh.login                                           └─ Pipe, recorded

It decides nothing: it carries facts to auth (`authority`) and obeys. It holds no secret but its host
key. Whatever it can't have decided, logged or recorded does not happen.

    worker      one process, named, started and stopped; `run_worker`
    config      what a worker is told, every limit with its unit
    listener    the port: count, greet, hand over
    limits      startups, arrivals, penalties by source (sans-IO)
    algorithms  the profiles `compat` and `pq-only`
    hosts       our host key, with certificates for the bastion and in nodes' names
    person      a person's connection: identity from the key that signed
    certificate certificates read strictly and judged (sans-IO)
    targets     what a client calls the thing it wants (sans-IO)
    bastion     the outer door: nodes, and nothing else
    inner       the door of a node; each channel behind it is a session approved by auth
    confirm     the second factor of a session, on any client's terminal
    outbound    the way into a node: its host certificate verified, never first use
    session     one approved session: recording, facts, bytes, and its one end
    program     a shell, command or subsystem on a channel
    requests    what may be asked on such a channel (sans-IO)
    permits     what roles and certificate allow together (sans-IO)
    relay       two channels tied back to back, at the pace of the slower
    forwards    ports, agent, X11
    files       files that pass by SFTP and scp, told apart (sans-IO)
    direct      an unrecorded stream to a port, where a role allows it
    spool       recordings on their way to auth
    reporter    facts on their way to the log
    pulse       what must end is ended
    fast        the only place that works on asyncssh's inside
    errors      the family of errors, as a tree
"""
