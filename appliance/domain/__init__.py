"""The vocabulary every room speaks: frozen values, ids, decisions, events, operations.

Standard library only; nothing here reads a clock, a file, a socket or randomness, so any
process may import it, whatever it is forbidden to hold.

    names       what a user, login, node, cluster may be called: parsed once, compared exactly
    errors      the one family of errors that crosses the API
    decision    Permit | Need | Deny
    events      the audit events, their names in one place
    records     what the store keeps: users, nodes, invites, authorities, sessions
    role        the role document and the options of a session
    codec       dataclasses to JSON values and back, strictly
    operations  the table of everything the auth service can be asked, and by whom
"""
