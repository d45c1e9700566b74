import importlib.metadata
import os
import tomllib
from pathlib import Path

import asyncssh
import pytest
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import Boolean, NameList, UInt32

from appliance.proxy.errors import SeamsChanged
from appliance.proxy.fast import version
from appliance.proxy.fast.aead import CachedGCM, faster
from appliance.proxy.fast.server import _firsts, _guesses


def test_the_installed_asyncssh_is_the_one_the_seams_were_written_for():
    assert importlib.metadata.version("asyncssh") == asyncssh.__version__ == version.PINNED
    assert version.check()


def test_the_project_pins_the_same_version():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert f"asyncssh=={version.PINNED}" in project["project"]["dependencies"]


def test_another_version_runs_without_the_fast_paths(monkeypatch):
    monkeypatch.setattr(version, "PINNED", "0.0.0")
    assert not version.check()


def test_a_version_without_a_seam_does_not_start(monkeypatch):
    monkeypatch.setattr(version, "SEAMS", {asyncssh.SSHServer: ("_no_such_seam",)})
    with pytest.raises(SeamsChanged, match="_no_such_seam"):
        version.check()


def test_the_cached_cipher_speaks_exactly_like_the_stock_one_from_any_point_on():
    key, iv = os.urandom(16), os.urandom(4) + b"\xff" * 7 + b"\xfe"
    stock = GCMEncryption.new("aes128-gcm", key, iv)
    stock.encrypt_packet(0, UInt32(16), os.urandom(16))
    cached = faster(stock)
    assert isinstance(cached, CachedGCM)
    for size in (16, 32, 32768, 48):
        packet, header = os.urandom(size), UInt32(size)
        data, tag = stock.encrypt_packet(1, header, packet)
        assert b"".join(cached.encrypt_packet(1, header, packet)) == data + tag


def test_the_cached_cipher_refuses_a_changed_packet():
    key, iv = os.urandom(32), os.urandom(12)
    sent = CachedGCM(key, iv).encrypt_packet(0, UInt32(32), bytes(32))[0]
    good, bad = CachedGCM(key, iv), CachedGCM(key, iv)
    assert good.decrypt_packet(0, sent[:16], sent[16:-16], 4, sent[-16:]) == bytes(32)
    assert bad.decrypt_packet(0, sent[:16], sent[16:-17] + bytes([sent[-17] ^ 1]), 4, sent[-16:]) is None


def test_other_ciphers_are_left_alone():
    assert faster(None) is None


def kexinit(kex, host_keys, *, guesses=True):
    lists = NameList(kex) + NameList(host_keys) + NameList([b"x"]) * 6 + NameList([]) * 2
    return bytes([20]) + bytes(16) + lists + Boolean(guesses) + UInt32(0)


def test_a_guess_is_right_only_if_both_first_choices_agree():
    ours = kexinit([b"a", b"b"], [b"k", b"l"])
    assert _guesses(ours)
    assert not _guesses(kexinit([b"a"], [b"k"], guesses=False))
    assert _firsts(kexinit([b"a", b"c"], [b"k"])) == _firsts(ours)
    for other in (kexinit([b"b", b"a"], [b"k"]), kexinit([b"a"], [b"l", b"k"])):
        assert _firsts(other) != _firsts(ours)
    with pytest.raises(asyncssh.ProtocolError):
        _firsts(kexinit([], [b"k"]))
