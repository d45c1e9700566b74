import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit.checkpoint import Checkpoint
from appliance.audit.errors import NoteInvalid
from appliance.audit.note import NoteAlgorithm, NoteKey, open_note, signed_note

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "audit" / "notes.json").read_text())
KEY = NoteKey.parse(VECTORS["key"])
PRIVATE = Ed25519PrivateKey.from_private_bytes(
    base64.b64decode(VECTORS["private"].removeprefix("PRIVATE+KEY+").split("+", 2)[2])[1:]
)


def signed(text, key, private):
    return signed_note(text, key, private.sign(text.encode()))


def test_the_published_note_opens_and_is_made_the_same_byte_for_byte():
    assert open_note(VECTORS["note"], [KEY]) == VECTORS["text"]
    assert signed(VECTORS["text"], KEY, PRIVATE) == VECTORS["note"]


def test_a_verifier_key_is_written_as_it_was_read():
    assert KEY.text == VECTORS["key"]


@pytest.mark.parametrize("text", VECTORS["bad_keys"])
def test_published_bad_keys_are_refused(text):
    with pytest.raises(NoteInvalid):
        NoteKey.parse(text)


@pytest.mark.parametrize("case", VECTORS["ecdsa"])
def test_published_ecdsa_checkpoints_of_real_logs_open(case):
    key = NoteKey.parse(case["key"])
    assert key.algorithm is NoteAlgorithm.ECDSA
    assert key.text == case["key"]
    assert Checkpoint.parse(open_note(case["note"], [key])).size == case["size"]
    with pytest.raises(NoteInvalid, match="is wrong"):
        open_note("X" + case["note"][1:], [key])


def test_a_note_signed_on_p256_opens_and_other_curves_are_no_key():
    private = ec.generate_private_key(ec.SECP256R1())
    key = NoteKey("b.example/audit", spki(private), NoteAlgorithm.ECDSA)
    note = signed_note("text\n", key, private.sign(b"text\n", ec.ECDSA(hashes.SHA256())))
    assert open_note(note, [NoteKey.parse(key.text)]) == "text\n"
    for other in (ec.generate_private_key(ec.SECP384R1()), PRIVATE):
        with pytest.raises(NoteInvalid):
            NoteKey("b.example/audit", spki(other), NoteAlgorithm.ECDSA)


def spki(private):
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_no_part_and_no_change_of_a_key_is_a_key():
    text = VECTORS["key"]
    parts = {text[i:j] for i in range(len(text)) for j in range(i, len(text) + 1)} - {text}
    changed = {text[:i] + chr(ord(text[i]) + 1) + text[i + 1 :] for i in range(len(text))}
    for bad in parts | changed:
        with pytest.raises(NoteInvalid):
            NoteKey.parse(bad)


@settings(deadline=None)
@given(position=st.integers(0, len(VECTORS["note"]) - 1), character=st.characters(max_codepoint=0x2FF))
def test_no_changed_note_opens(position, character):
    note = VECTORS["note"]
    changed = note[:position] + character + note[position + 1 :]
    if changed != note:
        with pytest.raises(NoteInvalid):
            open_note(changed, [KEY])


@settings(deadline=None)
@given(note=st.text())
def test_any_text_is_either_no_note_or_not_signed(note):
    with pytest.raises(NoteInvalid):
        open_note(note, [KEY])


def test_signatures_by_others_are_ignored_and_do_not_suffice():
    other = Ed25519PrivateKey.generate()
    theirs = NoteKey("other.example", other.public_key().public_bytes_raw())
    both = VECTORS["note"] + signed(VECTORS["text"], theirs, other).rpartition("\n\n")[2]
    assert open_note(both, [KEY]) == VECTORS["text"]
    assert open_note(both, [theirs]) == VECTORS["text"]
    with pytest.raises(NoteInvalid, match="no known key"):
        open_note(VECTORS["note"], [theirs])
    with pytest.raises(NoteInvalid, match="no known key"):
        open_note(VECTORS["note"], [NoteKey("PeterNeumann", theirs.public)])


def test_one_wrong_signature_by_a_known_key_spoils_the_note():
    wrong = base64.b64encode(KEY.id + bytes(64)).decode()
    with pytest.raises(NoteInvalid, match="is wrong"):
        open_note(f"{VECTORS['note']}\u2014 PeterNeumann {wrong}\n", [KEY])


def test_a_signature_that_is_none_makes_no_note():
    with pytest.raises(NoteInvalid):
        signed_note(VECTORS["text"], KEY, bytes(64))


@pytest.mark.parametrize("text", ["", "no line feed", "bell\x07\n", "tab\t\n", "cr\r\n"])
def test_a_text_that_no_note_can_have_is_not_signed(text):
    with pytest.raises(NoteInvalid):
        signed(text, KEY, PRIVATE)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb"])
def test_a_key_name_has_no_spaces_and_no_plus(name):
    with pytest.raises(NoteInvalid):
        NoteKey(name, KEY.public)


def test_the_published_checkpoint_is_read_and_written():
    case = VECTORS["checkpoint"]
    checkpoint = Checkpoint.parse(case["text"])
    assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (
        case["origin"],
        case["size"],
        case["root"],
    )
    assert checkpoint.text == case["text"]


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"\n1\n{ROOT}\n",
        f"o\n01\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n{'9' * 5000}\n{ROOT}\n",
        f"o\n1\n{ROOT}",
        f"o\n1\n{ROOT[:-4]}\n",
        "o\n1\n!!!!\n",
        f"o\n1\n{ROOT}\n\nextension\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(text)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_our_signature(tmp_path):
    note = signed(VECTORS["text"], KEY, PRIVATE)
    blob = base64.b64decode(note.rstrip().rpartition(" ")[2])
    pem = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("key.pem", pem), ("text", VECTORS["text"].encode()), ("signature", blob[4:])):
        (tmp_path / name).write_bytes(data)
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Verified Successfully" in done.stdout
