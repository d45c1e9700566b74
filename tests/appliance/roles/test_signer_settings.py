"""The signer's part of the configuration: tokens, ways to the PIN, limits."""

import pytest

from appliance.config import ConfigError, load, parse
from appliance.domain.errors import Invalid
from appliance.roles import pin, signer
from appliance.roles.layout import Layout
from hsm.profiles import ProfileName
from hsm.registry import TokenKind
from hsm.signer.protocol import Ca


def settings(text):
    return parse(("signer_service:\n" + text).encode()).signer_service


def table(text):
    return signer.limit_table(settings(text).limits)


def test_every_profile_of_the_library_can_be_named():
    for name in ProfileName:
        assert settings(f"  token: {{provider: pkcs11, uri: 'pkcs11:token=a', profile: {name}}}\n")
    with pytest.raises(ConfigError, match=r"signer_service\.token\.profile"):
        settings("  token: {provider: pkcs11, uri: 'pkcs11:token=a', profile: nitrokey}\n")


def test_a_yubikey_is_named_by_serial_with_or_without_quotes(tmp_path):
    tmp_path.chmod(0o700)
    secret = tmp_path / "management"
    secret.write_text("00" * 24)
    secret.chmod(0o600)
    for serial in ("12345678", '"12345678"'):
        text = f"  token: {{provider: piv, serial: {serial}, management_key_file: {secret}}}\n"
        found = pin.token(parse(("signer_service:\n" + text).encode()), Layout(tmp_path))
        assert (found.kind, found.location) == (TokenKind.PIV, "12345678")
        assert found.management_key.reveal_text() == "00" * 24
    with pytest.raises(ConfigError, match="serial"):
        settings("  token: {provider: piv, serial: front-door}\n")


def test_a_pin_file_and_a_sealed_start_exclude_each_other():
    with pytest.raises(ConfigError, match="exclude each other"):
        settings("  unseal: prompt\n  token: {provider: file, pin_file: /etc/pin}\n")


@pytest.mark.parametrize("way", ["prompt", "yubikeys"])
def test_a_sealed_start_makes_and_reads_no_pass_phrase(tmp_path, way):
    tmp_path.chmod(0o700)
    config = parse(f"signer_service:\n  unseal: {way}\n".encode())
    assert pin.released(config, Layout(tmp_path)) is None
    assert not (tmp_path / "token" / "pin").exists()


def test_limits_change_what_they_name_and_nothing_else():
    found = table(
        "  limits:\n    auth:\n      certificates:\n        user: {longest_life: 8h, names: ['[a-z]+']}\n"
    )
    default = signer.limit_table({})
    mine, before = (one.for_certificates("auth", Ca.USER) for one in (found, default))
    assert (mine.longest_life, mine.names, mine.extensions) == (8 * 3600, ("[a-z]+",), before.extensions)
    assert found.for_certificates("auth", Ca.HOST) == default.for_certificates("auth", Ca.HOST)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auth: {certificates: {user: {longest_lif: 8h}}}", "auth.certificates.user: no setting"),
        (
            "auth: {certificates: {user: {longest_life: soon}}}",
            "auth.certificates.user.longest_life: expected",
        ),
        ("auth: {certificates: {uzer: {longest_life: 8h}}}", "auth.certificates: no CA is called 'uzer'"),
        ("auth: {operations: [sign_everything]}", "auth.operations: no request is called"),
        ("auth: {certificates: {user: {names: ['(']}}}", "auth.certificates.user.names: not understood"),
        ("auth: {certificates: {user: {rate: fast}}}", "auth.certificates.user.rate: not understood"),
        ("auth: {certificates: {user: 8h}}", "auth.certificates.user: expected a table"),
        ("auth: {certificates: 8h}", "auth.certificates: expected a table"),
        ("auth: 8h", "auth: expected a table"),
    ],
)
def test_a_mistake_in_the_limits_is_named_with_its_place(text, said):
    with pytest.raises(Invalid) as refused:
        table(f"  limits: {{{text}}}\n")
    assert str(refused.value).startswith(f"signer_service.limits.{said}")


def test_the_sample_still_loads(tmp_path):
    from appliance.config.sample import sample  # noqa: PLC0415

    (tmp_path / "a.yaml").write_text(sample())
    assert load(tmp_path / "a.yaml").signer_service.limits == {}
