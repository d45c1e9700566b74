"""What happened, kept so that nobody can change it quietly.

One JSON line an event, one file a UTC day (`log/2017-01-23.00:00:00.log`), each line carrying its
number `seq` and `prev`, the hash of the line before. `AuditLog.record` returns when the line is on
the disk, and only then may the effect happen; when it can't be written, the caller's act fails.

    errors      the error family
    line        a record becomes one canonical line, whatever people typed into its fields
    chain       sealing and checking the chain: pure
    files       names of the day files; reading lines forward
    recovery    the end of the log after a crash: torn bytes are set aside, never dropped silently
    log         AuditLog: one writer thread with group commit
    index       SQLite index over the files: rebuilt from them whenever in doubt
    reader      AuditReader: questions by time, type, person, session, text, in pages
    merkle      the RFC 6962 tree over the lines: root, inclusion and consistency proofs: pure
    tree        the hashes of that tree in a file, rebuilt from the log whenever in doubt
    note        signed notes (C2SP signed-note), Ed25519 or P-256: pure
    signer      the audit key in the signer process
    checkpoint  signed tree heads (C2SP tlog-checkpoint) and where their copies go
    verify      `python -m appliance.audit.verify DIR --key KEY`: needs nothing but the files
    sinks       where copies of the events go: the interface, and a file
    syslog_sink, http_sink    the same to a syslog server, an HTTP collector
    forward     feeds a sink from the files, from where it stopped

The day of a file is the writer's clock, never an event's own field, and never goes back: after a
clock was set back the current file simply goes on. The order of events is `seq`, not time.

Limits: a line is at most 64 KiB; longer fields are shortened and say so. At 75 % of the disk
`on_pressure` is called once.
"""
