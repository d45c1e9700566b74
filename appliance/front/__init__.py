"""cheroot with TLS, made safe to stand at the front: shared by the web pages and the API.

    sources  what counts as one source of connections
    wire     strict header lines, a socket with deadlines, places and turns per source
    server   the server: handshakes in workers, silent peers in the selector, limits on everything

As it comes, cheroot shakes hands in its accepting thread, so that one silent peer stops everybody. Not here.
"""
