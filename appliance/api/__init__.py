"""The auth service's HTTP face: parse, one broker call, serialise. Nothing is decided here.

application  the Flask application: `POST /v1/<operation>` for every operation of the table
identify     who calls: by socket and peer credentials, by client certificate, by web session
listeners    where it listens: one Unix socket a caller, and mutual TLS on 3025
openapi      the OpenAPI description, generated from the table
"""
