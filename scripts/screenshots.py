"""Take the README's pictures from the running product: `make screenshots`.

A box, a node, three people and a few sessions are made for it and thrown away.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from tests.support import sign_up
from tests.support.box import running_box
from tests.support.browser import chromium
from tests.support.stock_node import running_node

if TYPE_CHECKING:
    from tests.support.box import Box
    from tests.support.browser import Browser
    from tests.support.stock_node import StockNode

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of an account that lives for a minute
WIDTH, HEIGHT = 1080, 640
PLAYED_SECONDS = 5


def main() -> int:
    """Take them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sallyport-pictures-") as name, ExitStack() as stack:
        folder = Path(name)
        node = stack.enter_context(running_node(folder / "web1"))
        box = stack.enter_context(running_box(folder / "box"))
        browser = stack.enter_context(chromium(folder / "profile", trusted_spki=box.spki))
        _people(box, browser)
        _session(box, node, browser)
        _administrator_sees(box, browser)
    print("\n".join(f"{path.name}: {path.stat().st_size // 1024} KiB" for path in sorted(FOLDER.iterdir())))
    return 0


def _people(box: Box, browser: Browser) -> None:
    browser.open(box.link)
    _shot(browser, "sign-up", height=0)
    browser.plug_in()
    sign_up.with_key(browser, box.link, PASSWORD)
    for name, roles in (("joe", "access"), ("ann", "access,auditor"), ("kim", "access")):
        box.sallyctl("users", "add", name, f"{name},deploy", f"--roles={roles}")


def _session(box: Box, node: StockNode, browser: Browser) -> None:
    out = box.folder / "home/web1"
    box.sallyctl(
        "nodes",
        "add",
        "--openssh",
        "web1",
        f"--addr={node.address}",
        "--labels=env=dev",
        "--yes",
        f"--out={out}",
    )
    box.sallyctl(
        "nodes", "add", "--openssh", "db1", f"--addr={node.address}", "--labels=env=prod,team=data", "--yes"
    )
    node.trust(next(out.glob("*user-ca.pub")), next(out.glob("*host-cert.pub")))
    box.sallyctl("users", "update", "joe", f"--logins=joe,{node.login}")
    link = box.sallyctl("users", "reset", "joe").stdout.split()[-1]
    window = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    joe = sign_up.with_app(browser, link, PASSWORD)
    browser.driver.close()
    browser.driver.switch_to.window(window)
    if joe.codes is not None:
        box.login("joe", PASSWORD, joe.codes.next())
    (box.folder / "home/ssh_config").write_text(box.sally("config").stdout)
    words = ["-F", "ssh_config", f"{node.login}@web1.main"]
    size = (24, 96)
    shell = pexpect.spawn(
        "ssh", words, env=box.environment, encoding="utf-8", cwd=str(box.folder / "home"), dimensions=size
    )
    for line in ("PS1='web1$ '; clear", "uptime", "df -h / | tail -1", "grep -c ^processor /proc/cpuinfo"):
        shell.expect(r"[#$] ")
        time.sleep(0.3)
        shell.sendline(line)
    time.sleep(0.5)
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()


def _administrator_sees(box: Box, browser: Browser) -> None:
    browser.open(f"{box.url}/web/login")
    browser.click("Sign in with a passkey")
    browser.wait_for_heading("Nodes")
    _shot(browser, "nodes")
    browser.open(f"{box.url}/web/sessions")
    browser.wait_for_heading("Sessions")
    browser.find("main a[href*='/sessions/']").click()
    browser.wait_for(".ap-player")
    browser.find(".ap-player").click()
    time.sleep(PLAYED_SECONDS)
    _shot(browser, "replay", dark=True, height=0)
    browser.open(f"{box.url}/web/events")
    browser.wait_for_heading("Events")
    _shot(browser, "events")


def _shot(browser: Browser, name: str, *, dark: bool = False, height: int = HEIGHT) -> None:
    browser.dark(on=dark)
    time.sleep(0.2)
    browser.shot(FOLDER / f"{name}.png", width=WIDTH, height=height)


if __name__ == "__main__":
    sys.exit(main())
