"""The FIDO cores: CTAP2, CTAP1 (U2F) and CTAPHID framing, as the CTAP 2.1 specification names things.

```
ctap2 ── command table, one module a command: info, make_credential, get_assertion, client_pin,
   │     credential_management, reset_and_selection
   ├── request      typed reading of a CBOR request          status      the numbers on the wire
   ├── session      what a power cycle forgets               pin_uv      PIN/UV auth protocols 1 and 2
   └── credential   sealed credential sources and signing    response    authenticator data and statements
ctap1 ── the same credentials, through U2F messages
ctaphid ── 64-byte packets to messages and back
```
"""
