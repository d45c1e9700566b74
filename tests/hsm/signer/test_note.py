"""Signed notes: the published example, our own, and what is no checkpoint."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.errors import Malformed, Unsupported
from hsm.signer import note

ROOT = base64.b64encode(bytes(range(32))).decode()
GOOD = f"sallyport.example/main\n7\n{ROOT}\n"


def test_a_checkpoint_is_read():
    read = note.parse(GOOD + "anchored 3\n")
    assert (read.origin, read.size, read.root) == ("sallyport.example/main", 7, bytes(range(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just some text that somebody wants signed\n",
        GOOD[:-1],
        GOOD + "\n",
        GOOD.replace("7", "07"),
        GOOD.replace("7", "-7"),
        GOOD.replace("7", "\u0667"),
        GOOD.replace(ROOT, ROOT[:-4]),
        GOOD.replace(ROOT, "!" + ROOT[1:]),
        GOOD.replace("/main", "/ma in"),
        GOOD.replace("/main", "/ma+in"),
        GOOD + "ext\x1b[0m\n",
        GOOD + "x" * 5000 + "\n",
    ],
)
def test_anything_else_is_not(text):
    with pytest.raises(Malformed):
        note.parse(text)


def test_the_key_of_go_s_published_note_example_gets_its_published_id():
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, _, material = vkey.split("+", 2)
    raw = base64.b64decode(material)[1:]
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00 " + raw
    assert note.verifier_key(name, blob) == vkey


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.P256])
def test_the_signature_line_verifies_with_the_verifier_key(algorithm):
    key = softkey.generate(algorithm)
    blob = public_key.dump(key.public_key())
    line = note.sign_line("log", blob, softkey.sign(key, GOOD.encode()).der)
    dash, name, encoded = line.rstrip("\n").split(" ")
    raw = base64.b64decode(encoded)
    assert (dash, name, raw[:4].hex()) == ("—", "log", note.verifier_key("log", blob).split("+")[1])
    public = key.public_key()
    if algorithm is Algorithm.ED25519:
        public.verify(raw[4:], GOOD.encode())
    else:
        public.verify(raw[4:], GOOD.encode(), ec.ECDSA(hashes.SHA256()))


def test_rsa_keys_sign_no_notes():
    blob = public_key.dump(softkey.generate(Algorithm.RSA3072).public_key())
    with pytest.raises(Unsupported):
        note.key_id("log", blob)
