"""The signer as its callers meet it: over its sockets, on a real token, with everything that goes wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import threading
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hsm import uri
from hsm.algorithm import Algorithm
from hsm.encoding import certificate, public_key, signature
from hsm.errors import StoreDamaged, TokenFault
from hsm.file import FileProvider
from hsm.naming import Namespace
from hsm.pkcs11 import Pkcs11Provider
from hsm.secret import Secret
from hsm.signer import codec
from hsm.signer.client import SignerClient
from hsm.signer.ledger import IssuedCertificate, Ledger, compare_with_register, entries, verify_ledger
from hsm.signer.limits import DEFAULT_AUTH, DEFAULT_LIMITS, CertificateLimits, LimitTable, Rate, parse
from hsm.signer.protocol import (
    Ca,
    Code,
    Issued,
    Option,
    SealState,
    SignCaCertificate,
    SignerError,
    SignUserCertificate,
    Status,
    Usage,
)
from tests.support import softhsm
from tests.support.certificates import (
    host_request,
    now,
    session_request,
    subject,
    user_request,
    x509_request,
)
from tests.support.piv_bench import PivBench
from tests.support.signer import CLUSTER, PIN, file_opener, make_config, running_signer
from tests.support.signer_process import process


@pytest.fixture
def signer(tmp_path):
    with running_signer(tmp_path) as running:
        for ca in Ca:
            running.auth.create_key(ca, 1)
        yield running


def _refused(act, *arguments):
    with pytest.raises(SignerError) as refused:
        act(*arguments)
    return refused.value


def _settled(client):
    """The state once the token has answered for the first time."""
    while (state := client.status().state) is SealState.OPENING:
        time.sleep(0.01)
    return state


def _keygen(tmp_path, blob):
    path = tmp_path / "x-cert.pub"
    path.write_text(certificate.openssh_line(blob) + "\n")
    command = ["ssh-keygen", "-L", "-f", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _verifies(signer, ca, blob):
    (key,) = [key for key in signer.auth.public_keys() if key.ca is ca]
    parsed = certificate.parse(blob)
    made = signature.parse_ssh(key.algorithm, parsed.signature)
    return parsed.says.signing_key == key.public_key and signature.verify(
        key.public_key, parsed.signed_bytes, made
    )


def test_certificates_of_all_three_ssh_cas_are_what_was_asked(tmp_path, signer):
    user = signer.auth.sign_user_certificate(user_request())
    session = signer.auth.sign_user_certificate(session_request())
    host = signer.auth.sign_host_certificate(host_request())
    for ca, issued in ((Ca.USER, user), (Ca.OPENSSH, session), (Ca.HOST, host)):
        assert _verifies(signer, ca, issued.certificate)
        assert f"Serial: {issued.serial}" in _keygen(tmp_path, issued.certificate)
    assert "source-address 127.0.0.1/32" in _keygen(tmp_path, session.certificate)
    assert "fd00::7" in _keygen(tmp_path, host.certificate)


def test_the_x509_ca_makes_chains_that_openssl_accepts_for_server_and_client(tmp_path, signer):
    root = signer.auth.sign_ca_certificate(
        SignCaCertificate(generation=1, valid_after=now() - 60, valid_before=now() + 10 * 365 * 86400)
    )
    server = signer.auth.sign_x509(x509_request())
    client = signer.auth.sign_x509(
        x509_request(
            usages=(Usage.CLIENT,), dns_names=(), ip_addresses=(), common_name="joe", organisations=("dev",)
        )
    )
    paths = {}
    for name, issued in (("root", root), ("server", server), ("client", client)):
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_bytes(x509.load_der_x509_certificate(issued.certificate).public_bytes(Encoding.PEM))
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", paths["root"]]
    for purpose, extra in (("server", ["-verify_hostname", "localhost"]), ("client", [])):
        subprocess.run(
            [*verify, "-purpose", f"ssl{purpose}", *extra, paths[purpose]], check=True, capture_output=True
        )
    wrong = subprocess.run(
        [*verify, "-purpose", "sslserver", paths["client"]], check=False, capture_output=True
    )
    assert wrong.returncode != 0
    ssl.create_default_context(cafile=str(paths["root"]))


ROOT = base64.b64encode(bytes(32)).decode()
OTHER_ROOT = base64.b64encode(bytes(31) + b"\x01").decode()


def test_a_log_that_shrank_or_forked_gets_no_signature_also_after_a_restart(tmp_path, signer):
    assert signer.auth.sign_checkpoint(1, f"log\n5\n{ROOT}\n").note.count("\n") == 5
    signer.auth.sign_checkpoint(1, f"log\n5\n{ROOT}\n")
    signer.auth.sign_checkpoint(1, f"other\n1\n{ROOT}\n")
    for size, root in ((4, ROOT), (5, OTHER_ROOT)):
        assert _refused(signer.auth.sign_checkpoint, 1, f"log\n{size}\n{root}\n").code is Code.LIMIT
    signer.server.stop()
    signer.auth.close()
    time.sleep(0.2)
    with running_signer(tmp_path) as again:
        assert _refused(again.auth.sign_checkpoint, 1, f"log\n4\n{ROOT}\n").code is Code.LIMIT
        again.auth.sign_checkpoint(1, f"log\n6\n{OTHER_ROOT}\n")


LATE = 40 * 3600
REFUSALS = {
    "no principal": user_request(principals=()),
    "empty principal": user_request(principals=("",)),
    "two in one": user_request(principals=("joe,root",)),
    "wildcard": user_request(principals=("*",)),
    "upper case": user_request(principals=("Joe",)),
    "trailing space": user_request(principals=("joe ",)),
    "newline": user_request(principals=("joe\n",)),
    "NUL": user_request(principals=("joe\x00",)),
    "full width": user_request(principals=("\uff4aoe",)),
    "too long a name": user_request(principals=("j" * 33,)),
    "twice the same": user_request(principals=("joe", "joe")),
    "lives too long": user_request(valid_before=now() + LATE),
    "for ever": user_request(valid_before=2**63 - 1),
    "ended": user_request(valid_before=now() - 1),
    "ends before it begins": user_request(valid_after=now() + 100, valid_before=now() + 50),
    "begins long ago": user_request(valid_after=now() - 4000),
    "begins far ahead": user_request(valid_after=now() + 10**7, valid_before=now() + 10**7 + 60),
    "negative": user_request(valid_after=-1),
    "unknown extension": user_request(extensions=(Option(name="permit-everything"),)),
    "extension twice": user_request(extensions=(Option(name="permit-pty"), Option(name="permit-pty"))),
    "unknown critical option": user_request(critical_options=(Option(name="no-limits", value="x"),)),
    "source that is no network": user_request(
        critical_options=(Option(name="source-address", value="everywhere"),)
    ),
    "empty forced command": user_request(critical_options=(Option(name="force-command"),)),
    "no source on a session": session_request(critical_options=()),
    "empty source on a session": session_request(critical_options=(Option(name="source-address"),)),
    "two logins on a session": session_request(principals=("joe", "root")),
    "a day-long session": session_request(valid_before=now() + 86400),
    "no key": user_request(public_key=b""),
    "half a key": user_request(public_key=subject()[:-1]),
    "a certificate as key": user_request(public_key=b"\x00\x00\x00\x20ssh-ed25519-cert-v01@openssh.com"),
    "key id with escape codes": user_request(key_id="joe\x1b[2J"),
    "key id with newline": user_request(key_id="joe\nroot"),
    "host without a name": host_request(principals=()),
    "host wildcard": host_request(principals=("*.main",)),
    "host with a space": host_request(principals=("web1 .main",)),
    "address in another form": host_request(principals=("127.1",), valid_before=now() + 401 * 86400),
    "long address": host_request(principals=("fd00:0::7",)),
    "server without a host": x509_request(dns_names=(), ip_addresses=()),
    "server wildcard": x509_request(dns_names=("*.example.com",)),
    "no usage": x509_request(usages=()),
    "junk for a key": x509_request(public_key=b"x" * 91),
    "address that is none": x509_request(ip_addresses=("localhost",)),
    "common name with a line": x509_request(common_name="a\nb"),
    "x509 for ever": x509_request(valid_before=now() + 10**9),
}


def _sign(client, request):
    by_kind = {
        "SignUserCertificate": client.sign_user_certificate,
        "SignHostCertificate": client.sign_host_certificate,
        "SignX509": client.sign_x509,
    }
    return by_kind[type(request).__name__](request)


def test_what_breaks_a_limit_is_refused_and_leaves_no_signature_in_the_ledger(signer):
    head = signer.auth.ledger_head()
    for name, request in REFUSALS.items():
        assert _refused(_sign, signer.auth, request).code is Code.LIMIT, name
    assert signer.auth.ledger_head() == head


def test_a_ca_does_not_certify_its_own_key_and_makes_only_its_own_kind(signer):
    (own,) = [key.public_key for key in signer.auth.public_keys() if key.ca is Ca.USER]
    assert _refused(signer.auth.sign_user_certificate, user_request(public_key=own)).code is Code.LIMIT
    for ca in (Ca.HOST, Ca.TLS, Ca.AUDIT):
        assert _refused(signer.auth.sign_user_certificate, user_request(ca=ca)).code in {
            Code.REFUSED,
            Code.LIMIT,
        }
    assert _refused(signer.auth.sign_user_certificate, user_request(generation=2)).code is Code.NO_KEY


def test_every_caller_may_do_only_what_its_table_says(signer):
    assert _refused(signer.console.sign_user_certificate, user_request()).code is Code.REFUSED
    assert _refused(signer.auth.seal).code is Code.REFUSED
    assert _refused(signer.auth.unseal, PIN).code is Code.REFUSED
    assert signer.console.preflight().problems == ()


def test_a_socket_turns_away_other_users_and_other_processes_files(tmp_path):
    config = make_config(tmp_path)
    doors = (replace(config.doors[0], uids=frozenset({os.getuid() + 1})), config.doors[1])
    with running_signer(tmp_path, config=replace(config, doors=doors)) as running:
        assert _refused(running.auth.status).code is Code.REFUSED
        assert running.console.status().state is not SealState.SEALED
        assert (tmp_path / "auth.sock").stat().st_mode & 0o777 == 0o600
        with pytest.raises(SignerError, match="has the ledger open"):
            Ledger.open(running.ledger_path, CLUSTER, clock=time.monotonic)
    assert not (tmp_path / "auth.sock").exists()


def test_the_rate_is_limited_per_ca_and_caller_and_says_when_to_come_back(tmp_path):
    slow = replace(DEFAULT_AUTH.certificates[Ca.USER], rate=Rate(per_second=5, burst=3))
    auth = replace(DEFAULT_AUTH, certificates={**DEFAULT_AUTH.certificates, Ca.USER: slow})
    limits = LimitTable({**DEFAULT_LIMITS.callers, "auth": auth})
    with running_signer(tmp_path, config=make_config(tmp_path, limits)) as running:
        running.auth.create_key(Ca.USER, 1)
        running.auth.create_key(Ca.OPENSSH, 1)
        for _ in range(3):
            running.auth.sign_user_certificate(user_request())
        refused = _refused(running.auth.sign_user_certificate, user_request())
        assert refused.code is Code.RATE
        assert refused.retryable
        assert 0 < refused.wait <= 0.2
        running.auth.sign_user_certificate(session_request())
        time.sleep(refused.wait + 0.01)
        running.auth.sign_user_certificate(user_request())


def test_the_limit_table_is_read_and_a_mistake_in_it_is_named():
    table = parse({"auth": {"certificates": {"user": {"longest_life": 60, "names": ["joe|ann"]}}}})
    limits = table.for_certificates("auth", Ca.USER)
    assert (limits.longest_life, limits.extensions) == (60, DEFAULT_AUTH.certificates[Ca.USER].extensions)
    assert limits.allows_name("ann")
    assert not limits.allows_name("joey")
    for mistake, place in (
        ({"auth": {"certificate": {}}}, "auth"),
        ({"auth": {"operations": ["sign"]}}, "auth.operations"),
        ({"auth": {"certificates": {"root": {}}}}, "auth.certificates"),
        ({"auth": {"certificates": {"user": {"life": 1}}}}, "auth.certificates.user"),
        ({"auth": {"certificates": {"user": {"longest_life": "1h"}}}}, "auth.certificates.user.longest_life"),
        ({"auth": {"certificates": {"user": {"names": ["("]}}}}, "auth.certificates.user.names"),
        ({"new": {"certificates": {"user": {}}}}, "new.certificates.user.longest_life"),
    ):
        with pytest.raises(Exception, match=place):
            parse(mistake)


def test_a_ca_may_be_open_to_one_caller_and_closed_to_another(tmp_path):
    bots = replace(DEFAULT_AUTH, certificates={Ca.USER: CertificateLimits(longest_life=60)})
    limits = LimitTable({"auth": bots})
    with running_signer(tmp_path, config=make_config(tmp_path, limits)) as running:
        running.auth.create_key(Ca.USER, 1)
        running.auth.create_key(Ca.HOST, 1)
        assert _refused(running.auth.sign_host_certificate, host_request()).code is Code.REFUSED
        assert _refused(running.console.status).code is Code.REFUSED


def test_sealed_it_gives_public_keys_and_refuses_signatures_until_the_right_pin(tmp_path):
    with running_signer(tmp_path) as running:
        keys = {running.auth.create_key(ca, 1) for ca in Ca}
    with running_signer(tmp_path, pin=None) as running:
        assert set(running.auth.public_keys()) == keys
        assert _settled(running.auth) is SealState.SEALED
        for act in (
            lambda: running.auth.sign_user_certificate(user_request()),
            lambda: running.auth.create_key(Ca.USER, 2),
            running.console.preflight,
        ):
            assert _refused(act).code is Code.SEALED
        refused = _refused(running.console.unseal, Secret("wrong"))
        assert refused.code is Code.PIN_REFUSED
        assert "wrong" not in refused.args[0].split()[0]
        running.console.unseal(PIN)
        running.auth.sign_user_certificate(user_request())
        running.console.seal()
        assert _refused(running.auth.sign_user_certificate, user_request()).code is Code.SEALED
    kinds = [entry.kind for entry in entries(tmp_path / "ledger.jsonl", CLUSTER)]
    assert kinds.count("unseal") == 2
    assert kinds.count("seal") == 1
    assert "wrong" not in (tmp_path / "ledger.jsonl").read_text()


def test_the_ledger_has_every_signature_and_agrees_with_the_register(tmp_path, signer):
    register = []
    for request in (user_request(), session_request(), host_request()):
        issued = _sign(signer.auth, request)
        ca = getattr(request, "ca", Ca.HOST)
        digest = certificate.signed_digest(issued.certificate)
        register.append(IssuedCertificate(serial=issued.serial, ca=ca, signed_sha256=digest))
    assert not list(compare_with_register(signer.ledger_path, CLUSTER, register))
    (missing,) = compare_with_register(signer.ledger_path, CLUSTER, register[1:])
    assert str(register[0].serial) in missing.where
    verdict = verify_ledger(signer.ledger_path, CLUSTER, [signer.auth.ledger_head()])
    assert verdict.sound


def test_a_ledger_that_cannot_be_written_means_no_signature(signer, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hsm.signer.ledger.os.pwrite", full)
    used = signer.auth.status().signatures
    assert _refused(signer.auth.sign_user_certificate, user_request()).code is Code.LEDGER
    assert signer.auth.status().signatures == used
    monkeypatch.undo()
    signer.auth.sign_user_certificate(user_request())


def test_a_token_with_another_key_of_the_same_name_is_not_used(tmp_path):
    with running_signer(tmp_path) as running:
        running.auth.create_key(Ca.USER, 1)
    (tmp_path / "keys").unlink()
    provider = file_opener(tmp_path)(PIN)
    provider.create("sallyport:main:user:1", Algorithm.ED25519)
    provider.close()
    with running_signer(tmp_path) as running:
        assert _settled(running.auth) is SealState.SEALED
        assert _refused(running.auth.sign_user_certificate, user_request()).code is Code.SEALED


def test_a_damaged_ledger_stops_the_start(tmp_path):
    with running_signer(tmp_path) as running:
        running.auth.create_key(Ca.USER, 1)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind":"key"', b'"kind":"kex"', 1))
    with pytest.raises(StoreDamaged, match="entry 2"), running_signer(tmp_path):
        pass


# -- strangers on the socket


def _raw(signer):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(signer.folder / "auth.sock"))
    return connection


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x02[]"]
)
def test_a_stranger_is_hung_up_on_and_others_are_served(signer, data):
    with _raw(signer) as connection:
        connection.sendall(data)
        assert connection.recv(100) == b""
    assert signer.auth.status().state is SealState.OPEN


def test_bad_requests_are_answered_one_by_one_and_good_ones_beside_them_served(signer):
    def frame(data):
        payload = json.dumps(data).encode()
        return len(payload).to_bytes(4, "big") + payload

    with _raw(signer) as connection:
        connection.sendall(
            frame({"id": 1, "op": "sign_blob", "args": {"data": "AAAA"}})
            + frame({"id": 2, "op": "status", "args": {"verbose": True}})
            + codec.write_request(3, Status())
        )
        deframer, got = codec.Deframer(), []
        while len(got) < 3:
            got += [json.loads(payload) for payload in deframer.feed(connection.recv(65536))]
    assert [answer.get("error", {}).get("code") for answer in got] == ["malformed", "malformed", None]


def test_many_clients_at_once_get_distinct_serials(signer):
    serials, failures = [], []

    def work():
        client = SignerClient(signer.folder / "auth.sock")
        try:
            serials.extend(client.sign_user_certificate(session_request()).serial for _ in range(15))
        except SignerError as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(serials)) == len(serials) == 120


# -- the token misbehaves


class Wrong:
    """A provider that answers with a signature of something else."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def sign(self, label, message):
        return self._inner.sign(label, message + b"!")


def test_a_signature_that_does_not_verify_never_leaves_and_is_voided(tmp_path):
    def opener(pin):
        return Wrong(file_opener(tmp_path)(pin))

    with running_signer(tmp_path, opener=opener) as running:
        running.auth.create_key(Ca.USER, 1)
        assert _refused(running.auth.sign_user_certificate, user_request()).code is Code.TOKEN_FAULT
        found = list(entries(running.ledger_path, CLUSTER))
    assert [entry.kind for entry in found[-2:]] == ["sign", "void"]
    assert found[-1].fields["entry"] == found[-2].number


class Fickle(Wrong):
    """A fast provider of which some signatures are wrong, and some calls fail."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls = 0

    def sign(self, label, message):
        self.calls += 1
        if self.calls % 7 == 0:
            raise TokenFault("not this time")
        return self._inner.sign(label, message + b"!" * (self.calls % 5 == 0))


def test_of_many_made_side_by_side_only_the_good_ones_leave_and_the_others_are_voided(tmp_path):
    with running_signer(tmp_path, opener=lambda pin: Fickle(file_opener(tmp_path)(pin))) as running:
        running.auth.create_key(Ca.USER, 1)
        answers = _ask_at_once(tmp_path / "auth.sock", user_request(), 200)
        issued = [codec.read_answer(payload, SignUserCertificate)[1] for payload in answers]
        good = [answer for answer in issued if isinstance(answer, Issued)]
        assert all(_verifies(running, Ca.USER, answer.certificate) for answer in good)
        found = list(entries(running.ledger_path, CLUSTER))
    failed = {number for number in range(1, 201) if not (number % 5 and number % 7)}
    assert len(issued) == 200
    assert len(good) == 200 - len(failed)
    voided = {entry.fields["entry"] for entry in found if entry.kind == "void"}
    signed = {entry.number for entry in found if entry.kind == "sign"}
    assert len(voided) == len(failed)
    assert voided <= signed
    assert voided.isdisjoint({answer.entry for answer in good})


def _ask_at_once(path, request, count):
    """Send so many requests on one connection and return the payloads of their answers."""
    deframer, answers = codec.Deframer(), []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"".join(codec.write_request(number, request) for number in range(1, count + 1)))
        while len(answers) < count:
            answers += deframer.feed(connection.recv(1 << 16))
    return answers


class Slow:
    """A token that takes its time: `seconds` for each signature."""

    def __init__(self, inner, seconds):
        self._inner, self.seconds = inner, seconds

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def sign(self, label, message):
        time.sleep(self.seconds)
        return self._inner.sign(label, message)


def test_a_slow_token_serves_a_login_fairly_beside_a_bot_that_wants_everything(tmp_path):
    def opener(pin):
        return Slow(file_opener(tmp_path)(pin), 0.05)

    with running_signer(tmp_path, opener=opener) as running:
        running.auth.create_key(Ca.USER, 1)
        stop, made = threading.Event(), []

        def bot():
            client = SignerClient(tmp_path / "auth.sock")
            while not stop.is_set():
                made.append(client.sign_user_certificate(user_request(lane="bot")).serial)
            client.close()

        bots = [threading.Thread(target=bot) for _ in range(10)]
        for thread in bots:
            thread.start()
        time.sleep(0.3)
        waits = []
        for _ in range(8):
            begin = time.monotonic()
            running.auth.sign_user_certificate(user_request(lane="joe"))
            waits.append(time.monotonic() - begin)
        stop.set()
        for thread in bots:
            thread.join()
    assert statistics.median(waits) < 0.18  # own signature, and the one or two that were begun before
    assert len(made) >= 8


def test_a_token_that_hangs_gets_busy_answers_within_the_deadline_and_recovers(tmp_path):
    slow = []

    def opener(pin):
        slow.append(Slow(file_opener(tmp_path)(pin), 0))
        return slow[0]

    config = make_config(tmp_path, deadline=0.4)
    with running_signer(tmp_path, opener=opener, config=config) as running:
        running.auth.create_key(Ca.USER, 1)
        slow[0].seconds = 1.5
        first = threading.Thread(target=lambda: running.auth.sign_user_certificate(user_request()))
        first.start()
        time.sleep(0.1)
        begin = time.monotonic()
        other = SignerClient(tmp_path / "auth.sock")
        refused = _refused(other.sign_user_certificate, user_request())
        assert refused.code is Code.BUSY
        assert refused.retryable
        assert time.monotonic() - begin < 1
        assert other.public_keys()
        slow[0].seconds = 0
        first.join()
        other.sign_user_certificate(user_request())
        other.close()


def _softhsm_opener(label):
    where = uri.parse(softhsm.shared_store().uri(label))
    return lambda pin: Pkcs11Provider(uri=where, pin=pin, namespace=Namespace(cluster=CLUSTER))


def test_softhsm_is_pulled_under_load_and_put_back_and_no_certificate_is_wrong(tmp_path):
    store, label = softhsm.shared_store(), softhsm.fresh_label()
    token = store.make_token(label)
    rate = {"auth": {"certificates": {"user": {"rate": {"per_second": 1e6, "burst": 1_000_000}}}}}
    config = make_config(tmp_path, parse(rate))
    with running_signer(tmp_path, opener=_softhsm_opener(label), config=config) as running:
        running.auth.create_key(Ca.USER, 1)
        outcomes, stop = [], threading.Event()

        def work():
            client = SignerClient(tmp_path / "auth.sock")
            while not stop.is_set():
                try:
                    issued = client.sign_user_certificate(user_request())
                    outcomes.append(_verifies(running, Ca.USER, issued.certificate))
                except SignerError as error:
                    outcomes.append(error.code)
            client.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        store.pull(token)
        time.sleep(0.4)
        store.put_back(token)
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert verify_ledger(running.ledger_path, CLUSTER).sound
    assert set(outcomes) == {True, Code.TOKEN_GONE}
    assert outcomes[0] is True
    assert outcomes[-1] is True


def test_started_without_the_token_it_signs_once_the_token_is_there(tmp_path):
    bench = PivBench.make()
    bench.pull()

    def opener(pin):
        return bench.open("123456", Namespace(cluster=CLUSTER))

    with running_signer(tmp_path, opener=opener) as running:
        assert _refused(running.auth.create_key, Ca.USER, 1).code is Code.TOKEN_GONE
        assert _settled(running.auth) is SealState.TOKEN_GONE
        bench.put_back()
        running.auth.create_key(Ca.USER, 1)
        assert _verifies(running, Ca.USER, running.auth.sign_user_certificate(user_request()).certificate)
        assert running.auth.attest(Ca.USER, 1).kind == "certificate"
        bench.pull()
        assert _refused(running.auth.sign_user_certificate, user_request()).code is Code.TOKEN_GONE
        assert running.auth.status().state is SealState.TOKEN_GONE
        bench.put_back()
        running.auth.sign_user_certificate(user_request())
        assert running.auth.status().state is SealState.OPEN


def test_a_key_of_our_range_for_an_unknown_purpose_is_left_alone(tmp_path):
    provider = file_opener(tmp_path)(PIN)
    provider.create("sallyport:main:backup:1", Algorithm.ED25519)
    with running_signer(tmp_path) as running:
        running.auth.create_key(Ca.USER, 1)
        assert {key.ca for key in running.auth.public_keys()} == {Ca.USER}
    assert len(provider.list()) == 2
    provider.close()


def test_a_wrong_pin_costs_one_try_however_often_callers_ask(tmp_path):
    bench = PivBench.make()

    def opener(pin):
        return bench.open(pin.reveal_text(), Namespace(cluster=CLUSTER))

    with running_signer(tmp_path, opener=opener, pin=Secret("000000")) as running:
        for _ in range(5):
            assert _refused(running.auth.create_key, Ca.USER, 1).code is Code.SEALED
        assert bench.card.tries == 2
        assert _refused(running.console.unseal, Secret("111111")).code is Code.PIN_REFUSED
        assert _refused(running.console.unseal, Secret("222222")).code is Code.PIN_REFUSED
        assert bench.card.tries == 1
        assert _settled(running.auth) is SealState.SEALED


def test_a_module_that_crashes_the_process_is_a_retryable_error_and_a_restart_goes_on(tmp_path):
    store, label = softhsm.shared_store(), softhsm.fresh_label()
    store.make_token(label)
    serials = []
    with process(tmp_path, store.uri(label), crash_at=4, env=store.environment) as (running, client):
        client.create_key(Ca.USER, 1)
        serials += [client.sign_user_certificate(user_request()).serial for _ in range(3)]
        refused = _refused(client.sign_user_certificate, user_request())
        assert refused.code is Code.UNAVAILABLE
        assert refused.retryable
        assert running.wait(10) == -11
        assert _refused(client.status).code is Code.UNAVAILABLE
        with process(tmp_path, store.uri(label), env=store.environment) as (_, _):
            serials.append(client.sign_user_certificate(user_request()).serial)
    assert len(set(serials)) == 4
    verdict = verify_ledger(tmp_path / "ledger.jsonl", CLUSTER)
    assert verdict.sound
    signed = [entry for entry in entries(tmp_path / "ledger.jsonl", CLUSTER) if entry.kind == "sign"]
    assert len(signed) == 5  # the one that crashed was written down before it was made


def test_kill_9_under_load_loses_no_entry_of_a_certificate_that_was_given_out(tmp_path):
    serials = []
    for _ in range(3):
        with process(tmp_path) as (running, client):
            client.ensure_key(Ca.USER, 1)

            def work(path=tmp_path / "auth.sock"):
                own = SignerClient(path)
                with contextlib.suppress(SignerError):
                    while True:
                        serials.append(own.sign_user_certificate(user_request()).serial)
                own.close()

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.4)
            running.kill()
            for thread in threads:
                thread.join()
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path, CLUSTER, clock=time.monotonic).close()
    assert verify_ledger(path, CLUSTER).sound
    written = [int(entry.fields["serial"]) for entry in entries(path, CLUSTER) if entry.kind == "sign"]
    assert set(serials) <= set(written)
    assert len(set(written)) == len(written)
    assert len(serials) > 20


def test_the_pin_is_in_no_file_log_line_or_answer(tmp_path, caplog):
    pin = Secret("S3cr3t-PIN-0815")

    def opener(given):
        return FileProvider.open(tmp_path / "keys", given, Namespace(cluster=CLUSTER))

    with caplog.at_level("DEBUG"), running_signer(tmp_path, opener=opener, pin=None) as running:
        running.console.unseal(pin)
        running.auth.create_key(Ca.USER, 1)
        shown = repr(running.console.status()) + repr(running.console.preflight())
        text = pin.reveal_text()
        assert text not in shown + caplog.text
        for path in tmp_path.iterdir():
            assert not path.is_file() or text.encode() not in path.read_bytes()


def test_keys_are_in_ssh_form_for_known_hosts_and_authorized_keys(signer):
    for key in signer.auth.public_keys():
        line = public_key.openssh_line(key.public_key, f"{CLUSTER}-{key.ca}")
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", "-"], input=line + "\n", capture_output=True, text=True, check=True
        )
        assert public_key.fingerprint(key.public_key) in shown.stdout
