"""What the three commands share."""

from __future__ import annotations

import sys
from typing import Any

import click
from click.shell_completion import get_completion_class

from appliance import __version__
from appliance.cli.output import FORMAT_KEY, FORMATS, plain
from appliance.config import ConfigError
from appliance.domain.errors import SallyportError

EXIT = {
    "denied": 3,
    "throttled": 4,
    "unavailable": 5,
    "sealed": 5,
    "not_found": 6,
    "conflict": 7,
    "exists": 7,
}
"""Exit statuses beyond 1 (anything else) and 2 (wrong usage), for scripts."""
SHELLS = ("bash", "zsh", "fish")


def run(group: click.Group, name: str, *, expected: tuple[type[Exception], ...] = ()) -> None:
    """Run a command line to its end; what was expected to go wrong is one sentence and a status.

    `expected` are further errors whose message is that sentence.
    """
    try:
        group.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        _leave("cancelled", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except ConfigError as error:
        _leave(str(error), 2)
    except SallyportError as error:
        _leave(f"{name}: {error}", EXIT.get(error.code, 1))
    except expected as error:
        _leave(f"{name}: {error}", 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"{name}: {place}{error.strerror}", 1)


def _leave(text: str, status: int) -> None:
    # some of it may be a server's words: each line is made safe for a terminal
    click.echo("\n".join(plain(line) for line in text.split("\n")), err=True)
    sys.exit(status)


class Answer(click.Command):
    """A command that takes `--format`; `output.show` reads it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--format"],
                type=click.Choice(FORMATS),
                default=FORMATS[0],
                show_default=True,
                expose_value=False,
                callback=_remember_format,
                help="How to print the answer.",
            )
        )


class Answers(click.Group):
    """A group of such commands, and of such groups."""

    command_class = Answer
    group_class = type


def _remember_format(context: click.Context, parameter: click.Parameter, value: str) -> None:
    del parameter
    context.meta[FORMAT_KEY] = value


def add_common(group: click.Group, name: str) -> None:
    """Add `version` and `completion` to a group."""

    @group.command()
    def version() -> None:
        """Print the version."""
        click.echo(f"{name} {__version__}")

    @group.command()
    @click.argument("shell", type=click.Choice(SHELLS))
    def completion(shell: str) -> None:
        """Print the completion script of a shell, to be sourced by it."""
        kind = get_completion_class(shell)
        if kind is None:
            raise click.UsageError(f"no completion for {shell}")
        variable = f"_{name.upper()}_COMPLETE"
        click.echo(kind(group, {}, name, variable).source())
