"""A person at the prompter, with the answers a test gives them."""

from collections.abc import Callable, Sequence


class ScriptedPrompter:
    """Answers PINs and accounts from a script, and remembers what was said."""

    def __init__(
        self, *pins: str | None, account: int | None = 0, on_touch: Callable[[], None] | None = None
    ):
        self.pins, self.chosen, self.on_touch = list(pins), account, on_touch
        self.said: list[tuple[object, ...]] = []

    def insert(self) -> None:
        self.said.append(("insert",))

    def choose(self, keys: Sequence[str]) -> None:
        self.said.append(("choose", *keys))

    def touch(self, key: str) -> None:
        self.said.append(("touch", key))
        if self.on_touch:
            self.on_touch()

    def verify(self, key: str) -> None:
        self.said.append(("verify", key))

    def pin(self, key: str, *, tries_left: int | None, wrong: bool) -> str | None:
        self.said.append(("pin", tries_left, wrong))
        return self.pins.pop(0)

    def account(self, names: Sequence[str]) -> int | None:
        self.said.append(("account", *names))
        return self.chosen
