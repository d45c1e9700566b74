"""U2F, the protocol before WebAuthn (FIDO U2F 1.2): app id and facets, raw messages, and the way out of it.

    facets.py         the app id, and the list of origins that may use it, as served on `/v1/u2f/facets`
    messages.py       registration and authentication responses, raw and as the old browser API had them
    relying_party.py  begin and complete, with states like those of WebAuthn migration.py      a stored U2F
    registration → a WebAuthn credential that is used through the `appid` extension

Browsers have dropped the U2F API; its keys live on. New registrations should be WebAuthn, old ones are
migrated as they stand, and a client that talks to the key itself (`devices/`) may still speak U2F.
"""
