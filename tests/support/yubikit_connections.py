"""yubikit's connections onto the sans-IO cores, so that its sessions are the peers of the virtual key."""

from __future__ import annotations

from yubikit.core import TRANSPORT
from yubikit.core.otp import OtpConnection
from yubikit.core.smartcard import SmartCardConnection

from authenticators.virtual.card.card import Card
from authenticators.virtual.interaction import at_once
from authenticators.virtual.otp.reports import FeatureReports


class CardConnection(SmartCardConnection):
    """APDUs straight into a card."""

    def __init__(self, key, transport=TRANSPORT.USB):
        self.card = Card(key)
        self._transport = transport

    @property
    def transport(self):
        return self._transport

    def send_and_receive(self, apdu):
        response = at_once(self.card.transmit(bytes(apdu)))
        return response[:-2], int.from_bytes(response[-2:], "big")

    def close(self):
        self.card.reset()


class ReportConnection(OtpConnection):
    """Feature reports straight into the keyboard interface."""

    def __init__(self, key):
        self.reports = FeatureReports(key)

    def receive(self):
        return self.reports.read()

    def send(self, data):
        self.reports.write(bytes(data))

    def close(self):
        pass
