"""The smart card side of a key: one ISO 7816-4 card with an application for each purpose.

```
card ── selects an application, joins chained commands, hands out long answers in pieces
  ├── iso7816     command and response APDUs, status words, TLV
  ├── fido        CTAP over ISO 7816 (CTAP 2.1, section 11.3) and U2F
  ├── piv/        NIST SP 800-73-4 with the YubiKey extensions
  ├── oath        YKOATH
  ├── otp         the OTP slots through APDUs
  ├── ndef        the OTP that a phone reads
  └── management  what the key is and can do
```
"""
