"""The composite USB device: keyboard with OTP feature reports, FIDO HID, and a CCID card reader.

```
composite     control requests and endpoints of the whole device, without IO
├── descriptors   what the device says of itself
├── ccid          card reader messages (USB CCID 1.1)
└── otp.reports, fido.ctaphid   the two HID interfaces
```
"""
