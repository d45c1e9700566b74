"""The web edge: pages for people, and the door for tools that hold no certificate yet.

    browser ─HTTPS─► server ─► app ─► security, forms (who may ask) ─► a page's blueprint ─►
    appliance.client.Api
    tools   ─HTTPS─► server ─► app ─► limits ───────────────────────► webapi ────────────►
    appliance.client.Api

    config         what the composition root hands in
    server         cheroot, hardened: TLS, limits, deadlines, one slow peer never holds the rest
    wire           its pieces: a socket with a deadline, strict header lines, places and turns per source
    app            the factory: one Flask application out of the blueprints
    security       host, origin, headers; a content security policy per page
    forms          proof that a form came from our own page; reading its fields
    person         the signed-in person behind a request; the session cookie
    limits         a token bucket a source
    refusals       what went wrong, as a page or as JSON
    present        escaping and formatting at the sink
    sign_up sign_in account browser_login sessions nodes users events trust webapi
                   a blueprint a noun

This process decides nothing and keeps nothing: no session store, no key but its TLS key. Each act is one
operation of `appliance.domain.operations`, done in the name of the person whose cookie came with the
request; the auth service judges it. Only `appliance.client` and `appliance.domain` are imported.

Pages work without JavaScript wherever WebAuthn is not needed. Nothing is loaded from elsewhere.

Numbers: header lines 16 KiB and 64 of them, a body 64 KiB, a request must be whole within 15 s, an
answer must be taken at 4 KiB/s; 64 connections a source (IPv6: a /64) and 1000 in all; 32 at work, 8 of
them for one source; relayed calls and forms: 5 a second a source with bursts of 60.
"""
