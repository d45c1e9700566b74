"""A second factor for one session, with the client everybody has (X1)."""

import asyncio
import time
from dataclasses import replace

import asyncssh
import pexpect
import pytest

from appliance.domain.decision import Factor
from tests.support.attacker import login
from tests.support.authority import Check
from tests.support.bastion import running_bastion

pytestmark = pytest.mark.functional
URL = "https://bastion.main:3080/c/1"


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_check_is_left(bastion):
    yield
    bastion.authority.check = None
    bastion.ssh_config()


def ssh(bastion, *words, options=()):
    config = bastion.ssh_config()
    config.write_text(config.read_text().replace("BatchMode yes", "BatchMode no"))
    words = words or ("echo", "in")
    return pexpect.spawn(
        "ssh", ["-F", str(config), *options, "web1.main", *words], timeout=15, encoding="utf-8"
    )


def test_a_code_at_the_prompt_lets_in(bastion):
    bastion.authority.check = Check(good={"123456"})
    client = ssh(bastion)
    client.expect(f"Confirmation needed for {bastion.node.login}@web1.main")
    client.expect("Code: ")
    client.sendline("123456")
    client.expect("in\r\n")
    client.expect(pexpect.EOF)


def test_a_wrong_code_is_asked_for_again_and_three_are_enough(bastion):
    bastion.authority.check = Check(good={"123456"})
    client = ssh(bastion)
    client.expect("Code: ")
    client.sendline("000000")
    client.expect("That code is not right.")
    client.expect("Code: ")
    client.sendline("111111")
    client.expect("Code: ")
    client.sendline("222222")
    client.expect("too many wrong codes")
    client.expect(pexpect.EOF)
    assert "123456" in bastion.authority.check.good


def test_confirming_in_the_browser_lets_the_waiting_client_go_on_without_enter(bastion):
    bastion.authority.check = Check(factors=(Factor.WEBAUTHN,), url=URL)
    client = ssh(bastion)
    client.expect(URL)
    client.expect("7QXR")
    time.sleep(1.5)
    bastion.authority.check.approved = True
    client.expect("in\r\n")
    client.expect(pexpect.EOF)


def test_refusing_in_the_browser_ends_it(bastion):
    bastion.authority.check = Check(factors=(Factor.WEBAUTHN,), url=URL)
    client = ssh(bastion)
    client.expect(URL)
    bastion.authority.check.denied = True
    client.expect("it was refused in the browser")
    client.expect(pexpect.EOF)


def test_where_both_are_possible_enter_after_confirming_goes_on(bastion):
    bastion.authority.check = Check(factors=(Factor.TOTP, Factor.WEBAUTHN), url=URL)
    client = ssh(bastion)
    client.expect("Enter after confirming at ")
    client.sendline("")
    client.expect("Not confirmed yet, waiting")
    bastion.authority.check.approved = True
    client.expect("in\r\n")
    client.expect(pexpect.EOF)


def test_what_is_not_confirmed_in_time_ends(bastion):
    bastion.authority.check = Check(factors=(Factor.WEBAUTHN,), url=URL, seconds=2)
    client = ssh(bastion)
    client.expect("not confirmed in time")
    client.expect(pexpect.EOF)


def test_ctrl_c_while_waiting_leaves_no_session_behind(bastion):
    bastion.authority.check = Check(factors=(Factor.WEBAUTHN,), url=URL)
    client = ssh(bastion)
    client.expect(URL)
    client.close(force=True)
    bastion.authority.check.approved = True
    bastion.eventually(lambda: not bastion.thread.worker.listener.connections)
    bastion.eventually(lambda: not bastion.thread.worker.edge.sessions)


def test_a_client_that_can_not_be_asked_is_refused(bastion):
    bastion.authority.check = Check(good={"123456"})
    done = bastion.ssh("echo in")
    assert done.returncode == 255
    assert b"Permission denied (keyboard-interactive)" in done.stderr


class Typist(asyncssh.SSHClient):
    """Answers every prompt with the code."""

    asked = 0

    def kbdint_auth_requested(self):
        return ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        Typist.asked += bool(prompts)
        return ["123456"] * len(prompts)


def test_further_channels_of_one_connection_do_not_ask_again(bastion):
    bastion.authority.check = Check(good={"123456"})
    key, paper = bastion.authority.person("joe", "joe", bastion.node.login)

    async def twice():
        user = f"{bastion.node.login}@web1"
        connection = await login(bastion, user, key, paper, client_factory=Typist)
        said = [(await connection.run("echo one")).stdout, (await connection.run("echo two")).stdout]
        connection.abort()
        await connection.wait_closed()
        return said

    assert asyncio.run(twice()) == ["one\n", "two\n"]
    assert Typist.asked == 1


def test_a_forced_command_stays_forced_after_the_second_factor(bastion):
    bastion.authority.check = Check(good={"123456"})
    identity = bastion.certify("joe", bastion.node.login, name="forced", force_command="echo only-this")
    config = bastion.ssh_config(identity)
    config.write_text(config.read_text().replace("BatchMode yes", "BatchMode no"))
    client = pexpect.spawn("ssh", ["-F", str(config), "web1.main", "id"], timeout=15, encoding="utf-8")
    client.expect("Code: ")
    client.sendline("123456")
    client.expect("only-this\r\n")
    client.expect(pexpect.EOF)
    bastion.ssh_config()


def test_without_a_challenge_only_a_security_key_helps(bastion):
    class Never(Check):
        def _more(self, message):
            return replace(super()._more(message), challenge="")

    bastion.authority.check = Never()
    done = bastion.ssh("id")
    assert b"needs a certificate on a security key" in done.stderr
