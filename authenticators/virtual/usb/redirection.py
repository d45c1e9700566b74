"""The usbredir protocol (version 0.7), the side that has the device, without IO.

`Redirection.receive` takes bytes from the guest's side and `outgoing` holds bytes to it. Headers are
little-endian: type, length, and an id of 32 bits until both sides said in their hello that they use 64.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from authenticators.virtual.errors import TransportError
from authenticators.virtual.usb import descriptors
from authenticators.virtual.usb.composite import CompositeDevice, Setup

VERSION: Final = b"sallyport-vkey"
FULL_SPEED: Final = 1
ENDPOINTS: Final = 32
NO_ENDPOINT: Final = 0xFF
OK, CANCELLED, STALL = 0, 1, 4
LARGEST: Final = 1 << 20


class Kind(IntEnum):
    """Packet types."""

    HELLO = 0
    DEVICE_CONNECT = 1
    DEVICE_DISCONNECT = 2
    RESET = 3
    INTERFACE_INFO = 4
    EP_INFO = 5
    SET_CONFIGURATION = 6
    GET_CONFIGURATION = 7
    CONFIGURATION_STATUS = 8
    SET_ALT_SETTING = 9
    GET_ALT_SETTING = 10
    ALT_SETTING_STATUS = 11
    START_INTERRUPT_RECEIVING = 15
    STOP_INTERRUPT_RECEIVING = 16
    INTERRUPT_RECEIVING_STATUS = 17
    CANCEL_DATA_PACKET = 21
    DEVICE_DISCONNECT_ACK = 24
    CONTROL_PACKET = 100
    BULK_PACKET = 101
    INTERRUPT_PACKET = 103


class Capability(IntEnum):
    """Capability bits we know."""

    CONNECT_DEVICE_VERSION = 1
    DEVICE_DISCONNECT_ACK = 3
    EP_INFO_MAX_PACKET_SIZE = 4
    IDS_64_BITS = 5
    BULK_LENGTH_32_BITS = 6


OURS: Final = sum(1 << capability for capability in Capability)


@dataclass(slots=True)
class Redirection:
    """One connection to a guest, with a device plugged in or not."""

    outgoing: bytearray = field(init=False, default_factory=bytearray)
    device: CompositeDevice | None = field(init=False, default=None)
    _incoming: bytes = field(init=False, default=b"")
    _theirs: int | None = field(init=False, default=None)
    _receiving: dict[int, int] = field(init=False, default_factory=dict)
    _bulk_reads: deque[tuple[int, int, int]] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        hello = VERSION.ljust(64, b"\0") + struct.pack("<I", OURS)
        self.outgoing += struct.pack("<III", Kind.HELLO, len(hello), 0) + hello

    def plug(self, device: CompositeDevice) -> None:
        """Plug a device in, at once or as soon as the guest has said hello."""
        self.device = device
        if self._theirs is not None:
            self._announce(device)

    def unplug(self) -> None:
        """Pull the device out."""
        if self.device is not None:
            self.device = None
            self._receiving.clear()
            self._bulk_reads.clear()
            self._send(Kind.DEVICE_DISCONNECT, b"")

    def receive(self, data: bytes) -> None:
        """Take bytes from the guest's side; raises `TransportError` for a peer that makes no sense."""
        self._incoming += data
        while (packet := self._next_packet()) is not None:
            self._handle(*packet)
        self.flush()

    def flush(self) -> None:
        """Move what the device has to say into `outgoing`."""
        device = self.device
        if device is None:
            return
        device.poll()
        for endpoint in self._receiving:
            queue = device.queue(endpoint)
            while queue:
                data = queue.pop(0)
                self._send(
                    Kind.INTERRUPT_PACKET,
                    struct.pack("<BBH", endpoint, OK, len(data)) + data,
                    self._receiving[endpoint],
                )
                self._receiving[endpoint] += 1
        self._answer_bulk_reads(device)

    def _answer_bulk_reads(self, device: CompositeDevice) -> None:
        waiting = len(self._bulk_reads)
        for _ in range(waiting):
            id_, endpoint, length = self._bulk_reads.popleft()
            queue = device.queue(endpoint)
            if not queue:
                self._bulk_reads.append((id_, endpoint, length))
                continue
            data, rest = queue[0][:length], queue[0][length:]
            queue[:1] = [rest] if rest else []
            self._bulk(id_, endpoint, OK, data)

    def _next_packet(self) -> tuple[int, int, bytes] | None:
        form = "<IIQ" if self._wide else "<III"
        size = struct.calcsize(form)
        if len(self._incoming) < size:
            return None
        kind, length, id_ = struct.unpack_from(form, self._incoming)
        if length > LARGEST:
            raise TransportError(f"usbredir packet of {length} bytes")
        if len(self._incoming) < size + length:
            return None
        body, self._incoming = self._incoming[size : size + length], self._incoming[size + length :]
        return kind, id_, body

    @property
    def _wide(self) -> bool:
        return self._agreed(Capability.IDS_64_BITS)

    def _agreed(self, capability: Capability) -> bool:
        return self._theirs is not None and bool(self._theirs >> capability & 1)

    def _handle(self, kind: int, id_: int, body: bytes) -> None:
        try:
            self._dispatch(kind, id_, body)
        except (struct.error, IndexError) as error:
            raise TransportError(f"usbredir packet {kind} is too short") from error

    def _dispatch(self, kind: int, id_: int, body: bytes) -> None:
        if kind == Kind.HELLO:
            self._hello(body)
        elif kind == Kind.CONTROL_PACKET:
            self._control(id_, body)
        elif kind == Kind.BULK_PACKET:
            self._bulk_request(id_, body)
        elif kind == Kind.INTERRUPT_PACKET:
            self._interrupt_out(id_, body)
        elif kind == Kind.CANCEL_DATA_PACKET:
            self._cancel(id_)
        else:
            self._configure(kind, id_, body)

    def _configure(self, kind: int, id_: int, body: bytes) -> None:
        match kind:
            case Kind.SET_CONFIGURATION | Kind.GET_CONFIGURATION:
                self._send(Kind.CONFIGURATION_STATUS, bytes([OK, 1]), id_)
            case Kind.SET_ALT_SETTING | Kind.GET_ALT_SETTING:
                self._send(Kind.ALT_SETTING_STATUS, bytes([OK, body[0], 0]), id_)
            case Kind.START_INTERRUPT_RECEIVING:
                self._receiving.setdefault(body[0], 0)
                self._send(Kind.INTERRUPT_RECEIVING_STATUS, bytes([OK, body[0]]), id_)
            case Kind.STOP_INTERRUPT_RECEIVING:
                self._receiving.pop(body[0], None)
                self._send(Kind.INTERRUPT_RECEIVING_STATUS, bytes([OK, body[0]]), id_)

    def _hello(self, body: bytes) -> None:
        if self._theirs is not None:
            raise TransportError("a second usbredir hello")
        (self._theirs,) = struct.unpack_from("<I", body.ljust(68, b"\0"), 64)
        if self.device is not None:
            self._announce(self.device)

    def _announce(self, device: CompositeDevice) -> None:
        infos = device.interfaces
        columns = [bytes(range(len(infos)))] + [bytes(info.triple[i] for info in infos) for i in range(3)]
        rows = b"".join(column.ljust(ENDPOINTS, b"\0") for column in columns)
        self._send(Kind.INTERFACE_INFO, struct.pack("<I", len(infos)) + rows)
        self._send(Kind.EP_INFO, self._endpoints(infos))
        release = descriptors.bcd(device.key.profile.firmware)
        connect = struct.pack("<BBBBHH", FULL_SPEED, 0, 0, 0, descriptors.VENDOR, device.product)
        if self._agreed(Capability.CONNECT_DEVICE_VERSION):
            connect += struct.pack("<H", release)
        self._send(Kind.DEVICE_CONNECT, connect)

    def _endpoints(self, infos: tuple[descriptors.InterfaceInfo, ...]) -> bytes:
        kinds, intervals, owners = (
            bytearray([NO_ENDPOINT] * ENDPOINTS),
            bytearray(ENDPOINTS),
            bytearray(ENDPOINTS),
        )
        sizes = [0] * ENDPOINTS
        kinds[0] = kinds[ENDPOINTS // 2] = 0
        sizes[0] = sizes[ENDPOINTS // 2] = 64
        for number, info in enumerate(infos):
            for endpoint in info.endpoints:
                place = (endpoint.address & descriptors.IN) >> 3 | endpoint.address & 0x0F
                kinds[place], intervals[place] = endpoint.kind, endpoint.interval
                owners[place], sizes[place] = number, endpoint.packet
        table = bytes(kinds + intervals + owners)
        if self._agreed(Capability.EP_INFO_MAX_PACKET_SIZE):
            table += struct.pack(f"<{ENDPOINTS}H", *sizes)
        return table

    def _control(self, id_: int, body: bytes) -> None:
        endpoint, request, request_type, _, value, index, length = struct.unpack_from("<BBBBHHH", body)
        setup = Setup(request_type=request_type, request=request, value=value, index=index, length=length)
        answer = None if self.device is None else self.device.control(setup, body[10:])
        to_host = bool(endpoint & descriptors.IN)
        data = (answer or b"")[:length] if to_host else b""
        status = STALL if answer is None else OK
        done = len(data) if to_host or answer is None else length
        head = struct.pack("<BBBBHHH", endpoint, request, request_type, status, value, index, done)
        self._send(Kind.CONTROL_PACKET, head + data, id_)

    def _bulk_request(self, id_: int, body: bytes) -> None:
        wide = self._agreed(Capability.BULK_LENGTH_32_BITS)
        endpoint, _, length, _, high = struct.unpack_from("<BBHIH", body.ljust(10, b"\0"))
        length |= high << 16 if wide else 0
        if endpoint & descriptors.IN:
            self._bulk_reads.append((id_, endpoint, length))
            return
        data = body[10 if wide else 8 :]
        if self.device is not None:
            self.device.write(endpoint, data)
        self._bulk(id_, endpoint, OK, b"", len(data))

    def _bulk(self, id_: int, endpoint: int, status: int, data: bytes, length: int | None = None) -> None:
        length = len(data) if length is None else length
        head = struct.pack("<BBHI", endpoint, status, length & 0xFFFF, 0)
        if self._agreed(Capability.BULK_LENGTH_32_BITS):
            head += struct.pack("<H", length >> 16)
        self._send(Kind.BULK_PACKET, head + data, id_)

    def _interrupt_out(self, id_: int, body: bytes) -> None:
        endpoint, _, length = struct.unpack_from("<BBH", body)
        if self.device is not None:
            self.device.write(endpoint, body[4:])
        self._send(Kind.INTERRUPT_PACKET, struct.pack("<BBH", endpoint, OK, length), id_)

    def _cancel(self, id_: int) -> None:
        for entry in self._bulk_reads:
            if entry[0] == id_:
                self._bulk_reads.remove(entry)
                self._bulk(id_, entry[1], CANCELLED, b"")
                return

    def _send(self, kind: Kind, body: bytes, id_: int = 0) -> None:
        form = "<IIQ" if self._wide else "<III"
        self.outgoing += struct.pack(form, kind, len(body), id_) + body
