"""The three commands: thin shells. Each command parses, makes one call, prints.

    sallyport   the daemon: start, configure, version, status
    sallyctl    the administrator, at the box's console: users, nodes, sessions, events, auth, hsm
    sally       a person on their own machine: login, status, ls, config, play
    frame       what the three share: errors become one sentence and a status, `--format`, completion
    output      tables for people, JSON and YAML for programs

Prompts and progress go to stderr, so that stdout is only ever the answer.
"""
