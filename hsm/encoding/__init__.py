"""How keys, signatures and certificates are written down.

```
wire         SSH primitives (RFC 4251 §5)
public_key   public keys as SSH blobs ↔ cryptography's objects; strict checks of subject keys
signature    one signature in the forms SSH (RFC 4253, 5656, 8332, 8709) and X.509 want
certificate  OpenSSH certificates (PROTOCOL.certkeys): to be signed, finished, parsed back
x509         X.509 certificates whose signature is made elsewhere
```
Pure: bytes in, values out. Nothing here holds a private key, reads a clock or draws a random number.
"""
