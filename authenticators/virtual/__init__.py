"""Software authenticators: keys that behave like the ones people carry, for tests, demos and CI.

A `VirtualKey` is one key: a frozen `KeyState` in a `StateStore` (memory or a key file), a `Profile` that
says what model it is, and a `FaultPlan` that says how it misbehaves. Around it stand sans-IO cores, and
around them thin transports:

```
  transports   in_process    usbredir (composite device)     vpcd (PC/SC)     ssh_agent    python_yubico
                   |            |         |         |              |               |             |
  framing          |       fido.ctaphid   |     usb.ccid           |           SSH wire          |
                   |            |    otp.reports    |              |               |        otp.reports
  cores       fido.ctap2, fido.ctap1      |    card.card: fido, piv, oath, otp, management       |
                   |____________|_________|_________|______________|_______________|_____________|
                                                    |
                                     key.VirtualKey: state, store, faults
```

A core never waits: it is a generator that yields a `Pause` (someone has to touch the key, or the key is slow)
and is told whether to go on; the transport waits in its own manner, with keep-alives where there are any.
Randomness and the monotonic clock are handed in. The cores follow CTAP 2.1 (and 2.0 for old firmware),
U2F 1.2, ISO 7816-4, NIST SP 800-73-4 and the published YubiKey interfaces for OTP, OATH and management.

These are test instruments. Their attestation root is derived from a published constant and proves nothing,
and private keys lie readable in the key file: never accept one where security matters.
"""
