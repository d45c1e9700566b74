"""The use cases: the only code that sees all stages. Everything that decides or changes goes through here.

    ports            what the use cases need from outside
    callers          who is calling: console, service, person
    state            the repositories, one a noun
    gate             may this caller do this operation; asked before every one
    accounts         users and their links
    enrolment        finishing a sign-up
    sign_in          proofs in, an accepted attempt out
    credentials      an accepted attempt spent for certificates or a browser session
    browser_logins   a command line signed in by a browser
    machines         nodes
    connect          the story of a connection, on one page
    sessions         live sessions, what they report, their recordings
    authorities      the cluster's keys
    journal          what people read of sessions and events
    resources        every kind as a document: kinds, documents (the text, with lines), living_policy
    preferences      cluster_auth_preference: the store's document before the file
    access           who may what, explained
    challenges       a fresh proof for exactly one thing; words say what it is
    actions          the check of administrative actions, the second gate
    session_check    the check of one session
    devices          a person's own second factors
    broker           the table: operation name to use case

Order everywhere: decide, record, act. If it can't be recorded it does not happen.
"""
