import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.proxy import certificate
from appliance.proxy.certificate import judge_host, judge_person, parse, read_touch, verify
from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.wire import Reader, string

CA = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
KEY = asyncssh.generate_private_key("ssh-ed25519")
NOW = 1_900_000_000.0
AUTHORITIES = {CA.public_data}


def person(key=KEY, ca=CA, principals=("joe",), **given):
    given = {"valid_after": int(NOW) - 60, "valid_before": int(NOW) + 3600, **given}
    return ca.generate_user_certificate(key, "joe", principals=list(principals), **given).public_data


def judge(blob, *, now=NOW, source="192.0.2.1"):
    return judge_person(parse(blob), authorities=AUTHORITIES, now=now, source=source)


def test_a_good_certificate_is_read_and_not_objected_to():
    paper = parse(person(permit_pty=True))
    assert (paper.key_id, paper.principals, paper.public_key) == ("joe", ("joe",), KEY.public_data)
    assert "permit-pty" in paper.extensions
    assert judge(person()) is None


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ssh-rsa"])
def test_every_kind_of_key_is_read(kind):
    given = {"key_size": 2048} if kind == "ssh-rsa" else {}
    key = asyncssh.generate_private_key(kind, **given)
    paper = parse(person(key=key))
    assert paper.public_key == key.public_data
    assert verify(paper.key, b"m", key.sign(b"m", key.sig_algorithms[0]))


@pytest.mark.parametrize(
    ("principals", "says"),
    [
        ((), "nobody"),
        (("",), "not valid"),
        (("*",), "not valid"),
        (("joe ",), "not valid"),
        (("JOE",), "not valid"),
        (("joe,root",), "not valid"),
        (("joe\0",), "not valid"),
        (("joe", ""), "not valid"),
        (("\uff4aoe",), "not valid"),
    ],
)
def test_principals_that_are_no_names_are_refused(principals, says):
    assert says in judge(person(principals=principals))


def test_time_is_exact_at_the_end_and_has_sixty_seconds_at_the_beginning():
    blob = person(valid_after=1000, valid_before=2000)
    verdicts = [judge(blob, now=now) for now in (939, 940, 1999, 2000)]
    assert [verdict is None for verdict in verdicts] == [False, True, True, False]


def test_forever_and_too_long_a_life_are_refused():
    assert "without an end" in judge(person(valid_after=0, valid_before=certificate.FOREVER))
    assert "too long" in judge(person(valid_after=int(NOW), valid_before=int(NOW) + 31 * 3600))


def test_a_host_certificate_is_no_persons_and_the_other_way_round():
    host = CA.generate_host_certificate(
        KEY, "web1", principals=["web1.main"], valid_after=int(NOW) - 60, valid_before=int(NOW) + 3600
    ).public_data
    assert "no person's" in judge(host)
    assert judge_host(parse(host), authorities=AUTHORITIES, now=NOW, principal="web1.main") is None
    assert judge_host(parse(host), authorities=AUTHORITIES, now=NOW, principal="web2.main")
    assert judge_host(parse(host), authorities={OTHER.public_data}, now=NOW, principal="web1.main")
    assert judge_host(
        parse(person(principals=["web1.main"])), authorities=AUTHORITIES, now=NOW, principal="web1.main"
    )


def test_a_host_certificate_without_names_stands_for_no_host():
    host = CA.generate_host_certificate(
        KEY, "web1", principals=[], valid_after=0, valid_before=int(NOW) + 3600
    ).public_data
    assert judge_host(parse(host), authorities=AUTHORITIES, now=NOW, principal="web1.main")


def test_a_foreign_authority_is_refused():
    assert "not trusted" in judge(person(ca=OTHER))


@pytest.mark.parametrize(
    ("source", "allowed"),
    [("192.0.2.7", True), ("::ffff:192.0.2.7", True), ("198.51.100.1", False), ("::1", False)],
)
def test_source_address_holds_for_v4_and_mapped_v4(source, allowed):
    blob = person(source_address=["192.0.2.0/24"])
    assert (judge(blob, source=source) is None) == allowed


def rebuilt(critical=b"", extensions=b"", tail=b"", ca=CA, kind=1):
    """A user certificate with hand-made options."""
    body = (
        string(b"ssh-ed25519-cert-v01@openssh.com")
        + string(bytes(32))
        + KEY.public_data[15:]
        + (7).to_bytes(8, "big")
        + kind.to_bytes(4, "big")
        + string(b"joe")
        + string(string(b"joe"))
        + (int(NOW) - 60).to_bytes(8, "big")
        + (int(NOW) + 60).to_bytes(8, "big")
        + string(critical)
        + string(extensions)
        + string(b"")
        + string(ca.public_data)
    )
    return body + string(ca.sign(body, b"ssh-ed25519")) + tail


def option(name, value=b""):
    return string(name) + string(value)


def test_hand_made_certificates_are_read_like_any_other():
    assert judge(rebuilt()) is None


def test_unknown_critical_options_are_refused_and_unknown_extensions_kept():
    assert "not known" in judge(rebuilt(critical=option(b"new-thing")))
    assert parse(rebuilt(extensions=option(b"x@y", string(b"1")))).extensions == {"x@y"}


@pytest.mark.parametrize(
    "options",
    [
        option(b"force-command", string(b"a")) * 2,
        option(b"source-address", string(b"::/0")) + option(b"force-command", string(b"a")),
        option(b"force-command", string(b"a")) + b"\0",
    ],
)
def test_options_out_of_order_twice_or_torn_are_refused(options):
    with pytest.raises(CertificateInvalid):
        parse(rebuilt(critical=options))


@pytest.mark.parametrize(
    "options",
    [
        option(b"force-command", string(b"")),
        option(b"force-command", string(b"a") + b"x"),
        option(b"force-command", b""),
        option(b"source-address", string(b"junk")),
        option(b"source-address", string(b"")),
        option(b"verify-required", string(b"yes")),
    ],
)
def test_options_whose_value_is_wrong_are_refused(options):
    assert judge(rebuilt(critical=options)) is not None


def test_a_changed_byte_anywhere_breaks_the_signature_or_the_form():
    blob = bytearray(person())
    for at in range(4, len(blob), 7):
        changed = blob.copy()
        changed[at] ^= 1
        with pytest.raises(CertificateInvalid):
            parse(bytes(changed))


def test_bytes_behind_the_signature_are_refused():
    with pytest.raises(CertificateInvalid):
        parse(rebuilt(tail=b"\0"))


def test_a_plain_key_an_authority_and_an_x509_chain_are_no_certificates():
    for blob in (KEY.public_data, CA.public_data, string(b"x509v3-ssh-ed25519") + bytes(40), b""):
        with pytest.raises(CertificateInvalid):
            parse(blob)


def test_short_rsa_keys_and_sha1_signatures_are_refused():
    short = asyncssh.generate_private_key("ssh-rsa", key_size=1024)
    long = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    with pytest.raises(CertificateInvalid):
        _ = parse(person(key=short)).key
    assert not verify(long.convert_to_public(), b"m", long.sign(b"m", b"ssh-rsa"))
    assert verify(long.convert_to_public(), b"m", long.sign(b"m", b"rsa-sha2-512"))


def test_what_an_authenticator_said_is_read_from_its_signature():
    touch = read_touch(
        string(b"sk-ssh-ed25519@openssh.com") + string(bytes(64)) + b"\x05" + (9).to_bytes(4, "big")
    )
    assert (touch.present, touch.verified, touch.counter) == (True, True, 9)
    with pytest.raises(CertificateInvalid):
        read_touch(string(b"a") + string(b"b") + b"\x01\0\0\0")


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_without_a_crash(data):
    with pytest.raises(CertificateInvalid):
        parse(string(b"ssh-ed25519-cert-v01@openssh.com") + data)


@given(st.binary(max_size=64))
def test_a_reader_never_reads_past_the_end(data):
    reader = Reader(data)
    try:
        while reader:
            reader.string()
    except CertificateInvalid:
        pass
    assert reader.at <= len(data)
