"""Composition roots: one small module a process, which names every concrete class it is made of.

    layout      where everything lies under `data_dir`
    notify      telling whoever started us that we are ready (systemd's protocol)
    logs        the process's own log
    signer      holds the token; no network
    auth        decides, keeps state, has the API
    proxy       one SSH worker
    web         the pages
    supervisor  what `sallyport start` runs: the others as children

Each is `python -m appliance.roles.<name> --config FILE` and imports nothing that its process must not hold.
"""
