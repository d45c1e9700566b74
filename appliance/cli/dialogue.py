"""What `sally` asks a person at the terminal, and how it uses a security key of theirs."""

from __future__ import annotations

from typing import Any

import click


class Terminal:
    """Prompts on stderr; nothing typed is echoed unless it may be seen."""

    def password(self, user: str) -> str:
        """Ask for the password."""
        typed: str = click.prompt(f"Password for {user}", hide_input=True, err=True)
        return typed

    def code(self, *, or_key: bool) -> str:
        """Ask for a code."""
        hint = " (Enter alone: use a security key)" if or_key else ""
        typed: str = click.prompt(f"One-time code{hint}", default="", show_default=False, err=True)
        return typed.strip()

    def security_key(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """Have a key on this machine answer."""
        from appliance.cli.security_keys import assertion

        return assertion(options, origin)

    def new_key(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """Have a key on this machine make a credential."""
        from appliance.cli.security_keys import registration

        return registration(options, origin)

    def new_app(self, secret: str, uri: str) -> str:
        """Show what an app needs, and ask for its first code."""
        click.echo(f"Put this into your app:\n\n  {uri}\n\nor the secret {secret}\n", err=True)
        typed: str = click.prompt("Code it shows", err=True)
        return typed.strip()

    def explain(self, words: tuple[str, ...]) -> None:
        """Show what is about to be done."""
        from appliance.cli.output import plain

        click.echo("To be confirmed:\n" + "\n".join(f"  {plain(word)}" for word in words), err=True)

    def browser(self, url: str, code: str) -> None:
        """Show where to go and what code to compare."""
        click.echo(f"Open this page in a browser, on any machine:\n\n  {url}\n", err=True)
        click.echo(f"It must show the code {code}. Waiting for your answer there.", err=True)

    def confirm_pin(self, pin: str) -> bool:
        """Ask whether a cluster's pin is the right one."""
        click.echo(f"This cluster is not known yet. It shows the pin\n  {pin}", err=True)
        answer: bool = click.confirm("Is that what its administrator told you?", err=True)
        return answer
