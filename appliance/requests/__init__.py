"""Access requests: one person asks, others agree, and the agreement ends. Pure values and steps.

    Wish ─ask─▶ AccessRequest(pending) ─add_review*─▶ approved | denied ─assume─▶ Assumed(roles, until)
                      │  └─ edit: next revision, reviews void       └─ withdraw
                      └─ canonical_request ─▶ digest ─▶ review_digest ─▶ the reviewer's assertion

    model        the values          requestable  what a person's roles let them ask for
    ask          make, edit, withdraw             review   who may review, adding a review
    tally        thresholds                       canonical  bytes and digests
    use          assuming roles, using up an action, what the signer verifies
    errors       WishInvalid, ReviewDenied, UseDenied, RequestClosed

No step reads a clock or writes anything: the broker stores each returned value by compare-and-swap
and records the event first. The same values carry dual control of administrative actions (X7).
"""
