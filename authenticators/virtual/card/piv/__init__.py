"""The PIV application: NIST SP 800-73-4 with the YubiKey extensions that tools rely on.

```
applet          instruction table
├── session     what a selection forgets: PIN verified, management key proved
├── references  PIN and PUK: verify, change, unblock, tries
├── management  proof of the management key, and its change
├── algorithms  key kinds: make, import, describe, use
├── slots       generate, import, move, use, attest
├── metadata    what can be said of a slot
└── objects     data objects and certificates
```
"""
