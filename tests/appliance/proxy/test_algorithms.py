import asyncssh
import pytest
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

from appliance.proxy.algorithms import CHACHA, Profile, cpu_has_aes, node_suite, suite


@pytest.mark.parametrize(
    "chosen", [*(suite(p, aes=a) for p in Profile for a in (True, False)), node_suite(aes=True)]
)
def test_every_name_is_one_that_asyncssh_can_do(chosen):
    assert {name.encode() for name in chosen.kex} <= set(get_kex_algs())
    assert {name.encode() for name in chosen.encryption} <= set(get_encryption_algs())
    assert {name.encode() for name in chosen.mac} <= set(get_mac_algs())
    asyncssh.SSHServerConnectionOptions(
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")], **chosen.options()
    )


def test_chacha_is_offered_only_where_the_cpu_has_no_aes():
    assert CHACHA not in suite(Profile.COMPAT, aes=True).encryption
    assert CHACHA in suite(Profile.COMPAT, aes=False).encryption


def test_nothing_weak_is_in_any_profile():
    for profile in Profile:
        names = " ".join(
            [
                *suite(profile, aes=False).kex,
                *suite(profile, aes=False).encryption,
                *suite(profile, aes=False).mac,
            ]
        )
        for weak in ("sha1", "cbc", "group1", "group-exchange", "arcfour", "nistp", "umac", "md5"):
            assert weak not in names
        assert all("etm" in mac for mac in suite(profile, aes=True).mac)


def test_the_cpu_is_asked_by_its_flags(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("flags\t: fpu vme aes avx\n")
    assert cpu_has_aes(info)
    info.write_text("Features\t: fp asimd pmull\n")
    assert not cpu_has_aes(info)
    assert not cpu_has_aes(tmp_path / "missing")
