import json
import re
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.audit.errors import ChainBroken, SinkUnavailable
from appliance.audit.files import day_files, read_lines
from appliance.audit.forward import Forwarder
from appliance.audit.http_sink import HttpForm, HttpSink, HttpTarget
from appliance.audit.sinks import FileSink, Sink
from appliance.audit.syslog_sink import SyslogSink, SyslogTarget, Transport, syslog_message

LINES = [
    json.dumps(
        {"event": "auth", "code": "SP1000W", "time": "2026-03-01T12:00:00.123Z", "uid": f"u{i}", "seq": i}
    ).encode()
    for i in range(1, 4)
]


class Collector(ThreadingHTTPServer):
    """An HTTP server that keeps what it is sent and answers as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = []
        self.answers = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        status, answer = self.server.answers.pop(0) if self.server.answers else (200, b"{}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_sink_appends_lines_and_ends_one_that_was_torn(tmp_path):
    path = tmp_path / "copy"
    path.write_bytes(b'{"half')
    sink = FileSink(path)
    sink.send(LINES[:2])
    sink.send(LINES[2:])
    sink.close()
    assert path.read_bytes().splitlines() == [b'{"half', *LINES]


def test_a_file_sink_without_its_folder_is_unavailable(tmp_path):
    with pytest.raises(SinkUnavailable):
        FileSink(tmp_path / "absent" / "copy").send(LINES)


RFC5424 = re.compile(
    rb"<(\d{1,3})>1 (\S{1,48}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (-|\[.*\]) (.*)", re.DOTALL
)


def test_a_syslog_message_has_the_parts_of_rfc_5424_and_the_line_as_its_text():
    target = SyslogTarget(transport=Transport.UDP, host="x", hostname="bastion")
    parts = RFC5424.fullmatch(syslog_message(LINES[0], target)).groups()
    assert parts == (
        b"108",
        b"2026-03-01T12:00:00.123Z",
        b"bastion",
        b"sallyport",
        b"-",
        b"auth",
        b"-",
        LINES[0],
    )


def test_nothing_in_an_event_can_break_a_syslog_header():
    line = json.dumps({"event": "a b\n<13>1 x", "time": "\u202e ", "code": 7}).encode()
    target = SyslogTarget(transport=Transport.UDP, host="x", hostname="b c")
    parts = RFC5424.fullmatch(syslog_message(line, target)).groups()
    assert parts[:7] == (b"110", b"-", b"bc", b"sallyport", b"-", b"ab<13>1x", b"-")


def test_syslog_over_udp_and_unix_sends_a_datagram_an_event(tmp_path):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    unix.bind(str(tmp_path / "log"))
    targets = [
        (udp, SyslogTarget(transport=Transport.UDP, host="127.0.0.1", port=udp.getsockname()[1])),
        (unix, SyslogTarget(transport=Transport.UNIX, host=str(tmp_path / "log"))),
    ]
    for server, target in targets:
        server.settimeout(5)
        sink = SyslogSink(target)
        sink.send(LINES)
        assert [RFC5424.fullmatch(server.recv(70_000)).group(8) for _ in LINES] == LINES
        sink.close()
        server.close()


def received(connection, count):
    """Read messages by octet counting."""
    messages = []
    with connection, connection.makefile("rb") as stream:
        while len(messages) < count:
            length = b""
            while (byte := stream.read(1)) != b" ":
                length += byte
            messages.append(stream.read(int(length)))
    return messages


def flood(sink):
    """Send until the lost connection shows; the first batches vanish in buffers."""
    for _ in range(100):
        sink.send(LINES * 100)


def test_syslog_over_tcp_counts_octets_and_connects_again_after_a_loss():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        sink = SyslogSink(
            SyslogTarget(transport=Transport.TCP, host="127.0.0.1", port=server.getsockname()[1])
        )
        sink.send(LINES)
        messages = received(server.accept()[0], 3)
        assert [RFC5424.fullmatch(message).group(8) for message in messages] == LINES
        with pytest.raises(SinkUnavailable):
            flood(sink)
        sink.send(LINES)
        assert len(received(server.accept()[0], 3)) == 3
        sink.close()


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the real clock
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_syslog_over_tls_goes_only_to_a_server_whose_certificate_the_ca_made(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        got = []

        def serve():
            for _ in range(2):
                plain, _ = server.accept()
                try:
                    got.extend(received(context.wrap_socket(plain, server_side=True), 3))
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        target = {"transport": Transport.TLS, "host": "localhost", "port": port}
        stranger = SyslogSink(SyslogTarget(**target))
        with pytest.raises(SinkUnavailable, match=r"(?i)certificate"):
            stranger.send(LINES)
        trusted = SyslogSink(SyslogTarget(**target, ca_file=certificate))
        trusted.send(LINES)
        thread.join(10)
        trusted.close()
    assert len(got) == 3


def test_a_syslog_server_that_is_not_there_is_unavailable(tmp_path):
    for target in (
        SyslogTarget(transport=Transport.UNIX, host=str(tmp_path / "absent")),
        SyslogTarget(transport=Transport.TCP, host="127.0.0.1", port=1),
    ):
        with pytest.raises(SinkUnavailable):
            SyslogSink(target).send(LINES)


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (HttpForm.JSON, json.loads),
        (HttpForm.LINES, lambda body: [json.loads(line) for line in body.splitlines()]),
        (HttpForm.SPLUNK, lambda body: [json.loads(line)["event"] for line in body.splitlines()]),
        (HttpForm.ELASTIC, lambda body: [json.loads(line) for line in body.splitlines()[1::2]]),
    ],
)
def test_each_collector_gets_the_events_in_its_own_form_with_its_token(collector, form, read):
    if form is HttpForm.ELASTIC:
        collector.answers = [(200, json.dumps({"items": [{"create": {"status": 201}}] * 3}).encode())]
    sink = HttpSink(
        HttpTarget(url=f"{collector.url}/in?x=1", form=form, headers=(("Authorization", "Splunk s3cret"),))
    )
    sink.send(LINES)
    sink.close()
    ((path, headers, body),) = collector.requests
    assert path == "/in?x=1"
    assert headers["Authorization"] == "Splunk s3cret"
    assert read(body) == [json.loads(line) for line in LINES]


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_any_answer_but_success_means_the_batch_was_not_taken(collector, status):
    collector.answers = [(status, b"")]
    sink = HttpSink(HttpTarget(url=collector.url))
    with pytest.raises(SinkUnavailable, match=str(status)):
        sink.send(LINES)
    sink.send(LINES)
    sink.close()
    assert [path for path, _, _ in collector.requests] == ["/", "/"]


def test_a_bulk_answer_is_read_event_by_event_and_a_double_counts_as_taken(collector):
    sink = HttpSink(HttpTarget(url=collector.url, form=HttpForm.ELASTIC))
    items = [{"create": {"status": status}} for status in (201, 409, 201)]
    collector.answers = [(200, json.dumps({"errors": True, "items": items}).encode())]
    sink.send(LINES)
    items[1] = {"create": {"status": 400}}
    for answer in (json.dumps({"items": items}).encode(), b"{}", b"rubbish"):
        collector.answers = [(200, answer)]
        with pytest.raises(SinkUnavailable):
            sink.send(LINES)
    sink.close()
    actions = [json.loads(line)["create"]["_id"] for line in collector.requests[0][2].splitlines()[::2]]
    assert actions == ["u1", "u2", "u3"]


def test_a_token_is_neither_shown_nor_in_an_error():
    target = HttpTarget(url="http://127.0.0.1:1/?token=s3cret", headers=(("Authorization", "s3cret"),))
    with pytest.raises(SinkUnavailable) as caught:
        HttpSink(target).send(LINES)
    assert "s3cret" not in str(caught.value)
    assert "Authorization" not in repr(target)


@pytest.mark.parametrize("url", ["ftp://x", "collector", "file:///etc/passwd"])
def test_an_address_that_is_not_http_is_refused(url):
    with pytest.raises(SinkUnavailable):
        HttpSink(HttpTarget(url=url)).send(LINES)


class Listed(Sink):
    """Keeps what it is sent; raises while it is down."""

    def __init__(self):
        self.seqs = []
        self.down = False

    def send(self, lines):
        if self.down:
            raise SinkUnavailable("unplugged")
        self.seqs += [json.loads(line)["seq"] for line in lines]

    def close(self):
        pass


@pytest.fixture
def log(opened):
    return opened()


def drained(forwarder):
    while forwarder.step():
        pass


def test_a_sink_gets_every_event_in_order_over_days_and_restarts(log, folder, tmp_path, clock):
    sink = Listed()
    for _ in range(3):
        log.record_all([{"event": "e"}] * 300)
        clock.forward(days=1)
        forwarder = Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: log.head().seq)
        assert forwarder.waiting == 300
        drained(forwarder)
        assert forwarder.waiting == 0
    assert sink.seqs == list(range(1, 901))


def test_a_sink_that_was_down_gets_everything_later_and_nothing_is_lost(log, folder, tmp_path):
    sink = Listed()
    forwarder = Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: log.head().seq)
    log.record_all([{"event": "e"}] * 5)
    sink.down = True
    with pytest.raises(SinkUnavailable):
        forwarder.step()
    log.record_all([{"event": "e"}] * 5)
    assert forwarder.waiting == 10
    sink.down = False
    drained(forwarder)
    assert sink.seqs == list(range(1, 11))


def test_events_that_are_not_durable_are_not_exported(log, folder, tmp_path):
    sink = Listed()
    log.record_all([{"event": "e"}] * 5)
    drained(Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: 3))
    assert sink.seqs == [1, 2, 3]


def test_a_damaged_state_exports_again_rather_than_never(log, folder, tmp_path):
    log.record_all([{"event": "e"}] * 3)
    sink = Listed()
    drained(Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: 3))
    (tmp_path / "state").write_bytes(b"rubbish")
    drained(Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: 3))
    assert sink.seqs == [1, 2, 3, 1, 2, 3]


def test_a_file_that_was_cut_under_the_export_is_told(log, folder, tmp_path):
    log.record_all([{"event": "e"}] * 3)
    state = tmp_path / "state"
    drained(Forwarder(folder, Listed(), state=state, durable=lambda: 3))
    path = day_files(folder)[0]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(ChainBroken):
        Forwarder(folder, Listed(), state=state, durable=lambda: 4).step()


def test_a_day_that_was_archived_away_is_skipped(log, folder, tmp_path, clock):
    log.record_all([{"event": "e"}] * 3)
    sink, state = Listed(), tmp_path / "state"
    drained(Forwarder(folder, sink, state=state, durable=lambda: log.head().seq))
    clock.forward(days=1)
    log.record_all([{"event": "e"}] * 2)
    day_files(folder)[0].unlink()
    drained(Forwarder(folder, sink, state=state, durable=lambda: log.head().seq))
    assert sink.seqs == [1, 2, 3, 4, 5]


def test_a_running_forwarder_feeds_a_real_collector_while_events_come(log, folder, tmp_path, collector):
    sink = HttpSink(HttpTarget(url=collector.url))
    forwarder = Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: log.head().seq)
    stop, arrived = threading.Event(), threading.Event()
    log.record_all([{"event": "e"}] * 10)
    thread = threading.Thread(target=forwarder.run, args=(stop,))
    thread.start()
    for _ in range(200):
        if forwarder.waiting == 0:
            break
        arrived.wait(0.02)
    stop.set()
    thread.join(10)
    sink.close()
    sent = [event["seq"] for _, _, body in collector.requests for event in json.loads(body)]
    assert sent == [json.loads(line.data)["seq"] for line in read_lines(folder)]


def test_a_running_forwarder_lives_through_failures_and_says_how_many_wait(
    log, folder, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("appliance.audit.forward.POLL", 0.005)
    sink, stop = Listed(), threading.Event()
    sink.down = True
    log.record_all([{"event": "e"}] * 4)
    forwarder = Forwarder(folder, sink, state=tmp_path / "state", durable=lambda: log.head().seq)
    thread = threading.Thread(target=forwarder.run, args=(stop,))
    thread.start()
    for _ in range(500):
        if caplog.records:
            break
        stop.wait(0.01)
    sink.down = False
    for _ in range(500):
        if forwarder.waiting == 0:
            break
        stop.wait(0.01)
    stop.set()
    thread.join(10)
    assert "4 events wait for their sink: unplugged" in caplog.text
    assert sink.seqs == [1, 2, 3, 4]


def test_a_line_that_is_no_event_stops_the_export_and_is_named(log, folder, tmp_path):
    log.record({"event": "e"})
    with day_files(folder)[0].open("ab") as file:
        file.write(b"rubbish\n")
    with pytest.raises(ChainBroken, match="not an event"):
        Forwarder(folder, Listed(), state=tmp_path / "state", durable=lambda: 9).step()
