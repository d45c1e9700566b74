"""The OTP application of a key: two slots, and the feature reports through which a PC reaches them.

```
reports    8-byte feature reports of the keyboard interface  ->  frames of 64 bytes and a command number
commands   what each command does to the slots; also behind the OTP card application
slots      one slot's configuration as it is written, and what it answers: HMAC-SHA1, Yubico OTP, HOTP
typing     what the key types when it is touched
```
"""
