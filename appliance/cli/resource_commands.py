"""`sallyctl get|create|edit|rm|diff`: every kind of resource as a YAML document (mission row M2)."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import frame, output
from appliance.domain.errors import Invalid, SallyportError
from appliance.domain.operations import resources

if TYPE_CHECKING:
    from appliance.cli.console import Console

file_argument = click.argument("file", type=click.File("r", encoding="utf-8"), default="-")


def _reference(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("/")
    return kind, name


def yaml_text(found: resources.ResourceList) -> str:
    """Return resources as YAML documents, one after the other."""
    return "---\n".join(output.yaml(one.document) for one in found.resources)


@click.command("get", cls=click.Command)
@click.argument("resource")
@click.option("-o", "--format", "form", type=click.Choice(output.FORMATS), default="yaml", show_default=True)
@click.pass_obj
def get(api: Console, resource: str, form: str) -> None:
    """Print the RESOURCE, such as role/access, or all of a kind, such as role."""
    kind, name = _reference(resource)
    found: resources.ResourceList = api.call("resources.get", resources.ResourceNamed(kind=kind, name=name))
    match form:
        case "json":
            click.echo(json.dumps([one.document for one in found.resources], indent=2))
        case "yaml":
            click.echo(yaml_text(found), nl=False)
        case _:
            click.echo(_table(found))


def _table(found: resources.ResourceList) -> str:
    columns: output.Columns = (
        ("Kind", lambda one: one.kind),
        ("Name", lambda one: one.name),
        ("Revision", lambda one: one.revision or "-"),
    )
    return output.table(found.resources, columns, empty="there are none")


@click.command("create", cls=frame.Answer)
@click.option("-f", "--force", is_flag=True, help="Replace those that exist.")
@file_argument
@click.pass_obj
def create(api: Console, force: bool, file: Any) -> None:
    """Make resources from the YAML or JSON documents in FILE, all of them or none."""
    _apply(api, file.read(), name=file.name, replace=force)


def _apply(api: Console, text: str, *, name: str, replace: bool) -> None:
    request = resources.Documents(text=text, replace=replace)
    try:
        done: resources.ResourceChanges = api.call("resources.apply", request)
    except Invalid as error:
        raise Invalid(f"{name}: {error}") from error
    output.show(done, lambda: summary(done))


def summary(done: resources.ResourceChanges) -> str:
    """Return what was done, a line each."""
    return "\n".join(f"{one.kind}/{one.name} {one.action}" for one in done.changes)


@click.command("edit", cls=frame.Answer)
@click.argument("resource")
@click.pass_obj
def edit(api: Console, resource: str) -> None:
    """Change the RESOURCE, such as role/access, in your editor ($EDITOR).

    If somebody else changes it meanwhile, your change is refused and kept in a file.
    """
    kind, name = _reference(resource)
    if not name:
        raise click.UsageError("which one? KIND/NAME, such as role/access")
    found: resources.ResourceList = api.call("resources.get", resources.ResourceNamed(kind=kind, name=name))
    before = yaml_text(found)
    after = click.edit(before, extension=".yaml", require_save=False)
    if after is None or after == before:
        click.echo("Nothing was changed.", err=True)
        return
    try:
        _apply(api, after, name=resource, replace=True)
    except SallyportError:
        click.echo(f"Your text is kept in {_kept(after)}", err=True)
        raise


def _kept(text: str) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as file:
        file.write(text)
    return Path(file.name)


@click.command("rm", cls=frame.Answer)
@click.argument("resource")
@click.pass_obj
def remove(api: Console, resource: str) -> None:
    """Remove the RESOURCE, such as role/dba."""
    kind, name = _reference(resource)
    if not name:
        raise click.UsageError("which one? KIND/NAME, such as role/dba")
    done = api.call("resources.delete", resources.ResourceRemoval(kind=kind, name=name))
    output.show(done, lambda: summary(done))


@click.command("diff", cls=frame.Answer)
@click.option("-f", "--force", is_flag=True, help="Accepted as `create` does; nothing is changed here.")
@file_argument
@click.pass_obj
def diff(api: Console, force: bool, file: Any) -> None:
    """Check the documents in FILE and print what `create -f` with them would change."""
    del force
    request = resources.Documents(text=file.read(), replace=True)
    try:
        found: resources.ResourceChanges = api.call("resources.preview", request)
    except Invalid as error:
        raise Invalid(f"{file.name}: {error}") from error
    output.show(found, lambda: "".join(_difference(one) for one in found.changes).rstrip("\n"))


def _difference(change: resources.ResourceChange) -> str:
    if change.action == "unchanged":
        return f"{change.kind}/{change.name} unchanged\n"
    texts = ["" if one is None else output.yaml(one) for one in (change.before, change.after)]
    name = f"{change.kind}/{change.name}"
    before, after = (text.splitlines(keepends=True) for text in texts)
    return "".join(difflib.unified_diff(before, after, f"{name} (now)", f"{name} (in the file)"))


COMMANDS = (get, create, edit, remove, diff)
