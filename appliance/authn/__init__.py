"""Who are you: what has been proved, what is required, and how guessing is slowed.

    attempt      one sign-in as a frozen value: proofs in, accepted or not out
    requirement  which factors a person must prove, from the cluster's settings and their devices
    password     argon2id, with the same cost for people who don't exist
    throttle     waiting times from past failures, per source and per (user, source)
    seeds        TOTP secrets sealed at rest under a key of their own

Nothing here reads the store; the broker hands records in and writes what comes out.
"""
