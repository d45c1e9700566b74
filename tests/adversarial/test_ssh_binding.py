"""X1, X2: what a signature is bound to, and what an authenticator said in it."""

import asyncio
import hashlib

import asyncssh
import pytest
from asyncssh.packet import Boolean, String
from asyncssh.public_key import decode_ssh_public_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.attacker import MSG_FAILURE, MSG_SUCCESS, attacking
from tests.support.bastion import running_bastion

pytestmark = pytest.mark.functional
ALGORITHM = b"ssh-ed25519-cert-v01@openssh.com"
HOST_BOUND = b"publickey-hostbound-v00@openssh.com"
SK = b"sk-ssh-ed25519@openssh.com"


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def asked(bastion, name):
    return [request for operation, request in bastion.authority.calls if operation == name]


@pytest.mark.parametrize(("setting", "bound"), [("yes", True), ("unbound", False)])
def test_stock_ssh_binds_its_signature_to_our_host_key_on_both_connections(bastion, setting, bound):
    config = bastion.ssh_config(extra=f"PubkeyAuthentication {setting}")
    assert config.exists()
    try:
        assert bastion.ssh("true").returncode == 0
    finally:
        bastion.ssh_config()
    assert asked(bastion, "ssh.login")[-1].evidence.host_bound is bound
    assert asked(bastion, "ssh.connect")[-1].evidence.host_bound is bound


def host_bound(bastion, host_key_of):
    key, paper = bastion.authority.person("joe")

    async def attack():
        async with attacking(bastion) as attacker:
            host_key = host_key_of(attacker)
            head = Boolean(True) + String(ALGORITHM) + String(paper.public_data) + String(host_key)
            data = String(attacker.session_id) + bytes([50]) + String("joe") + String("ssh-connection")
            signature = key.sign(data + String(HOST_BOUND) + head, b"ssh-ed25519")
            attacker.request(b"joe", HOST_BOUND, head + String(signature))
            return await attacker.answer()

    return asyncio.run(attack())


def shown(bastion):
    options = bastion.thread.worker.listener.bastion
    return options.server_host_keys[ALGORITHM].public_data


def test_a_signature_for_our_host_key_is_accepted(bastion):
    assert host_bound(bastion, lambda _: shown(bastion)) == MSG_SUCCESS


def test_a_signature_made_for_another_server_is_worthless_here(bastion):
    other = asyncssh.generate_private_key("ssh-ed25519").public_data
    assert host_bound(bastion, lambda _: other) == MSG_FAILURE
    assert host_bound(bastion, lambda _: b"") == MSG_FAILURE


def test_the_bare_key_does_not_stand_for_the_certificate_that_was_shown(bastion):
    bare = bastion.thread.worker.edge.hosts.public_key
    assert host_bound(bastion, lambda _: bare) == MSG_FAILURE


def security_key(bastion, **given):
    secret = Ed25519PrivateKey.generate()
    public = decode_ssh_public_key(
        String(SK) + String(secret.public_key().public_bytes_raw()) + String("ssh:")
    )
    paper = bastion.authority.user.generate_user_certificate(
        public, "joe", principals=["joe"], valid_after="-1m", valid_before="+1h", **given
    )
    return secret, paper


def touched(bastion, flags, counter=7, application=b"ssh:", **given):
    secret, paper = security_key(bastion, **given)

    async def attack():
        async with attacking(bastion) as attacker:
            algorithm = SK.replace(b"@", b"-cert-v01@")
            head = Boolean(True) + String(algorithm) + String(paper.public_data)
            data = String(attacker.session_id) + bytes([50]) + String("joe") + String("ssh-connection")
            data += String("publickey") + head
            said = bytes([flags]) + counter.to_bytes(4, "big")
            signed = hashlib.sha256(application).digest() + said + hashlib.sha256(data).digest()
            signature = String(SK) + String(secret.sign(signed)) + said
            attacker.request(b"joe", b"publickey", head + String(signature))
            return await attacker.answer()

    return asyncio.run(attack())


@pytest.mark.parametrize("flags", [0x01, 0x05])
def test_what_the_authenticator_said_reaches_auth(bastion, flags):
    assert touched(bastion, flags, 42) == MSG_SUCCESS
    evidence = asked(bastion, "ssh.login")[-1].evidence
    assert (evidence.security_key_flags, evidence.security_key_counter) == (flags, 42)


def test_without_a_touch_it_is_no_signature(bastion):
    before = len(bastion.authority.calls)
    assert touched(bastion, 0x00) == MSG_FAILURE
    assert touched(bastion, 0x04) == MSG_FAILURE
    assert not [name for name, _ in bastion.authority.calls[before:] if name == "ssh.login"]


def test_a_certificate_may_waive_the_touch_and_auth_hears_that_there_was_none(bastion):
    # asyncssh writes the options of a certificate in another order than PROTOCOL.certkeys asks for
    alone = {
        f"permit_{what}": False
        for what in ("x11_forwarding", "agent_forwarding", "port_forwarding", "pty", "user_rc")
    }
    assert touched(bastion, 0x00, touch_required=False, **alone) == MSG_SUCCESS
    assert asked(bastion, "ssh.login")[-1].evidence.security_key_flags == 0


def test_a_signature_for_another_application_is_refused(bastion):
    assert touched(bastion, 0x01, application=b"ssh:evil") == MSG_FAILURE


def test_facts_of_one_signature_do_not_stick_to_the_next(bastion):
    assert touched(bastion, 0x01, 9) == MSG_SUCCESS
    key, paper = bastion.authority.person("joe")

    async def plain():
        async with attacking(bastion) as attacker:
            attacker.key_request(b"joe", paper.public_data, ALGORITHM, signer=key)
            return await attacker.answer()

    assert asyncio.run(plain()) == MSG_SUCCESS
    assert asked(bastion, "ssh.login")[-1].evidence.security_key_flags is None
