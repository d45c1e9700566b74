"""Threats C: certificates and keys, tried on the running endpoint. The expected answer is no."""

import asyncio

import asyncssh
import pytest

from tests.support.attacker import MSG_FAILURE, MSG_PK_OK, MSG_SUCCESS, attacking, refused
from tests.support.bastion import running_bastion

ALGORITHM = b"ssh-ed25519-cert-v01@openssh.com"
pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        one.authority.logins["victim"] = {one.node.login}
        yield one


def tried(bastion, user, *principals, **given):
    key, paper = bastion.authority.person("joe", *principals, **given)
    return asyncio.run(refused(bastion, user, key, paper))


def test_the_bastion_lets_joe_in_with_a_good_certificate(bastion):
    assert not tried(bastion, "joe", "joe")


@pytest.mark.parametrize(
    "given",
    [
        {"valid_after": "-2h", "valid_before": "-1s"},
        {"valid_after": "+10m", "valid_before": "+1h"},
        {"valid_after": 0, "valid_before": 0xFFFFFFFFFFFFFFFF},
        {"valid_after": "-1m", "valid_before": "+40h"},
        {"source_address": ["10.0.0.0/8"]},
    ],
    ids=["expired", "future", "forever", "too long", "elsewhere"],
)
def test_certificates_out_of_time_or_place_open_nothing(bastion, given):
    assert tried(bastion, "joe", "joe", **given)


@pytest.mark.parametrize("principals", [[], [""], ["*"], ["joe "], ["JOE"], ["joe,root"]])
def test_principals_that_are_nobody_open_nothing(bastion, principals):
    key = asyncssh.generate_private_key("ssh-ed25519")
    paper = bastion.authority.user.generate_user_certificate(
        key, "joe", principals=list(principals), valid_after="-1m", valid_before="+1h"
    )
    for user in ("joe", bastion.node.login):
        assert asyncio.run(refused(bastion, user, key, paper))


def test_a_foreign_authority_a_host_certificate_and_a_plain_key_open_nothing(bastion):
    key = asyncssh.generate_private_key("ssh-ed25519")
    for authority in (asyncssh.generate_private_key("ssh-ed25519"), bastion.authority.openssh):
        paper = authority.generate_user_certificate(key, "joe", principals=["joe"], valid_before="+1h")
        assert asyncio.run(refused(bastion, "joe", key, paper))
    host = bastion.authority.host.generate_host_certificate(
        key, "joe", principals=["joe"], valid_before="+1h"
    )
    assert asyncio.run(refused(bastion, "joe", key, host))
    as_host = bastion.authority.user.generate_host_certificate(
        key, "joe", principals=["joe"], valid_before="+1h"
    )
    assert asyncio.run(refused(bastion, "joe", key, as_host))


def test_an_authoritys_own_key_opens_nothing(bastion):
    async def attack():
        async with attacking(bastion) as attacker:
            authority = bastion.authority.user
            attacker.key_request(b"joe", authority.public_data, b"ssh-ed25519")
            return await attacker.answer()

    assert asyncio.run(attack()) == MSG_FAILURE


@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ssh-ed448"])
def test_weak_and_unknown_keys_open_nothing(bastion, kind):
    if kind == "ecdsa-sha2-nistp256":
        key = asyncssh.generate_private_key(kind)
        assert not asyncio.run(refused(bastion, *("joe", key, bastion.authority.person("joe", key=key)[1])))
        return
    key = asyncssh.generate_private_key(kind, **({"key_size": 1024} if kind == "ssh-rsa" else {}))
    paper = bastion.authority.user.generate_user_certificate(
        key, "joe", principals=["joe"], valid_before="+1h"
    )
    assert asyncio.run(refused(bastion, "joe", key, paper))


def test_an_rsa_signature_with_sha1_opens_nothing(bastion):
    key, paper = bastion.authority.person("joe", key=asyncssh.generate_private_key("ssh-rsa", key_size=2048))

    async def attack(algorithm):
        async with attacking(bastion) as attacker:
            attacker.key_request(
                b"joe",
                paper.public_data,
                b"ssh-rsa-cert-v01@openssh.com",
                signer=key,
                signature_algorithm=algorithm,
            )
            return await attacker.answer()

    assert asyncio.run(attack(b"ssh-rsa")) == MSG_FAILURE
    assert asyncio.run(attack(b"rsa-sha2-256")) == MSG_SUCCESS


def test_whoever_signs_is_who_comes_in_whatever_was_offered_before(bastion):
    mine, my_paper = bastion.authority.person("joe")
    _, victims_paper = bastion.authority.person("victim")

    async def attack():
        async with attacking(bastion) as attacker:
            answers = []
            for blob in (victims_paper, my_paper, victims_paper):
                attacker.key_request(b"joe", blob.public_data, ALGORITHM)
                answers.append(await attacker.answer())
            attacker.key_request(b"victim", victims_paper.public_data, ALGORITHM, signer=mine)
            answers.append(await attacker.answer())
            attacker.key_request(b"joe", my_paper.public_data, ALGORITHM, signer=mine)
            answers.append(await attacker.answer())
            return answers

    before = len(bastion.authority.calls)
    assert asyncio.run(attack()) == [MSG_PK_OK, MSG_PK_OK, MSG_PK_OK, MSG_FAILURE, MSG_SUCCESS]
    asked = [call for name, call in bastion.authority.calls[before:] if name == "ssh.login"]
    assert [call.evidence.certificate for call in asked] == [my_paper.public_data]


@pytest.mark.parametrize(
    "lie",
    [
        {"session_id": bytes(32)},
        {"signed_user": b"victim"},
        {"signed_service": b"ssh-userauth"},
        {"signature": b""},
        {"signature": b"\0" * 83},
    ],
    ids=["session", "user", "service", "empty", "zeroes"],
)
def test_a_signature_of_something_else_opens_nothing(bastion, lie):
    key, paper = bastion.authority.person("joe")

    async def attack():
        async with attacking(bastion) as attacker:
            attacker.key_request(b"joe", paper.public_data, ALGORITHM, signer=key, **lie)
            return await attacker.answer()

    assert asyncio.run(attack()) == MSG_FAILURE


@pytest.mark.parametrize(
    "user",
    [
        b"",
        b"ALICE",
        b"joe ",
        b"joe:x",
        "\uff4aoe".encode(),
        b"joe\n",
        b"joe\0",
        b"\xff",
        b"j" * 5000,
        b"-oProxy",
        b"root@",
    ],
)
def test_user_names_that_are_not_canonical_are_not_even_tried(bastion, user):
    key, paper = bastion.authority.person("joe")

    async def attack():
        async with attacking(bastion) as attacker:
            attacker.key_request(user, paper.public_data, ALGORITHM, signer=key)
            return await attacker.answer()

    before = len(bastion.authority.calls)
    assert asyncio.run(attack()) in {0, MSG_FAILURE}
    assert not [name for name, _ in bastion.authority.calls[before:] if name.startswith("ssh.")]


def test_a_name_that_changes_between_requests_is_judged_anew(bastion):
    key, paper = bastion.authority.person("joe")

    async def attack():
        async with attacking(bastion) as attacker:
            attacker.key_request(b"joe", paper.public_data, ALGORITHM)
            first = await attacker.answer()
            attacker.key_request(b"victim", paper.public_data, ALGORITHM, signer=key)
            return first, await attacker.answer()

    assert asyncio.run(attack()) == (MSG_PK_OK, MSG_FAILURE)


def test_a_forced_command_is_all_that_runs_and_nothing_is_forwarded(bastion):
    identity = bastion.certify("joe", bastion.node.login, name="forced", force_command="echo forced-$((1+1))")
    bastion.ssh_config(identity)
    bastion.authority.with_options(port_forwarding=True, direct_destinations=("*:*",), forward_agent=True)
    bastion.authority.direct["web1", 8080] = bastion.node.address
    try:
        assert bastion.ssh("id").stdout == b"forced-2\n"
        assert bastion.ssh("-s", "sftp").stdout == b"forced-2\n"
        through = bastion.ssh(options=("-W", f"127.0.0.1:{bastion.node.port}"))
        assert b"SSH-2.0" not in through.stdout
        assert b"prohibited" in through.stderr
        stream = bastion.ssh(options=("-W", "web1:8080"), target="bastion")
        assert b"forced command" in stream.stderr
    finally:
        bastion.ssh_config()
        bastion.authority.with_options(port_forwarding=False, direct_destinations=(), forward_agent=False)
        bastion.authority.direct.clear()


def test_a_certificate_without_permission_for_a_terminal_gets_none(bastion):
    identity = bastion.certify("joe", bastion.node.login, name="nopty", permit_pty=False)
    bastion.ssh_config(identity)
    try:
        done = bastion.ssh("tty", options=("-tt",))
        assert b"PTY allocation request failed" in done.stderr
        assert b"/dev/pts" not in done.stdout
    finally:
        bastion.ssh_config()


def test_a_connection_that_offers_too_many_keys_is_closed(bastion):
    async def attack():
        async with attacking(bastion) as attacker:
            answers = []
            for _ in range(50):
                key = asyncssh.generate_private_key("ssh-ed25519")
                attacker.key_request(b"joe", key.public_data, b"ssh-ed25519")
                answers.append(await attacker.answer())
                if not answers[-1]:
                    break
            return answers

    answers = asyncio.run(attack())
    assert answers[-1] == 0
    assert len(answers) <= 8


def test_a_connection_that_only_asks_about_good_keys_is_closed_too(bastion):
    _, paper = bastion.authority.person("joe")

    async def attack():
        async with attacking(bastion) as attacker:
            for count in range(50):
                attacker.key_request(b"joe", paper.public_data, ALGORITHM)
                if not await attacker.answer():
                    return count
            return 50

    assert asyncio.run(attack()) <= 12
