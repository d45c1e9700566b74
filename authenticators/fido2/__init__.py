"""WebAuthn and FIDO2, the relying party's side. A library over python-fido2 that knows no web framework.

    relying_party.py       begin → (options, state), complete(state, response), both ceremonies
    results.py             whom a ceremony is for, and what it comes to
    library.py             python-fido2's server, spoken to in our types
    ceremony.py            the states between begin and complete: frozen, expiring, to be taken once
    credential.py          what is stored of a credential, with the evidence it was registered with
    response.py            the browser's JSON → frozen values, or refused
    client_data.py         the rules for CollectedClientData
    authenticator_data.py  the rules for authenticator data, flags and credential public keys
    public_key.py          COSE keys: only well-formed ones of an algorithm that was offered
    wire.py                base64url, JSON and CBOR read strictly
    attestation.py         what an attestation statement proves
    android_key.py         the one format the library does not know
    trust.py               certificate chains, from a leaf to a given root
    policy.py              which models and makers are allowed, asked again at every use
    metadata.py            the FIDO metadata BLOB, read from a file and verified

python-fido2 makes the options and has the last word on each response. Before it is asked, our own parsers
and rules run, each with its own error code, because the library looks at neither crossOrigin, topOrigin, the
counter, the backup flags, the user handle, nor at duplicate JSON keys or padding, and takes any origin below
the RP ID.

A ceremony is good for 60 s and for one use. This library keeps nothing: the caller stores the state's
`to_dict()` under its `ceremony_id`, and takes it out (an atomic delete that must succeed) before it calls
`complete`.
"""
