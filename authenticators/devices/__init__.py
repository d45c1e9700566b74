"""A person's own key on this machine, from the command line.

    prompter.py           what the person is told and asked: touch, PIN with tries left, which key
    finder.py             FIDO keys over USB (hidraw) and over PC/SC; one of several by serial or by touch
    fido.py               WebAuthn ceremonies: options in, response out, as a browser does it
    yubikey.py            YubiKey slots through python-yubico: HMAC-SHA1 challenge-response, serial
    oath.py               OATH accounts on a key over PC/SC: list, unlock, calculate
    smart_card.py         the PC/SC connection under oath.py
    70-sallyport.rules    udev rules, so that the person at the seat may use the keys without root

Everything that waits for a person has a time-out, can be cancelled from another thread by an `Event`, and
ends in a `DeviceError` with a code. PINs are asked for when the key wants one, passed on, and kept nowhere.
"""
