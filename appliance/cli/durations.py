"""Durations on the command line: `30s`, `15m`, `8h`, `1h30m`."""

from __future__ import annotations

import click

from appliance.config.schema import duration


class TtlType(click.ParamType[int]):
    """Whole seconds, written as a duration."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        try:
            seconds = duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return int(float(str(seconds)))
