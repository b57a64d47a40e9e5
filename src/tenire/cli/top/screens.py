"""Small windows over the live view: a question, and a text to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

if TYPE_CHECKING:
    from rich.text import Text
    from textual.app import ComposeResult
    from textual.binding import BindingType

__all__ = ["Question", "Reading"]


class Question(ModalScreen[str]):
    """Asks for one line; an empty one means that nothing is wanted.

    Args:
        text: What to ask.
        value: What stands there already.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]
    DEFAULT_CSS = """
    Question { align: center middle; }
    Question Vertical {
        width: 72; max-width: 90%; height: auto; padding: 1 2; background: $surface; border: round $primary;
    }
    """

    def __init__(self, text: str, value: str = "") -> None:
        super().__init__()
        self._text = text
        self._value = value

    def compose(self) -> ComposeResult:
        """Make the window."""
        with Vertical():
            yield Label(self._text, markup=False)
            yield Input(self._value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer."""
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """Want nothing."""
        self.dismiss("")


class Reading(ModalScreen[None]):
    """Shows a text that may be long.

    Args:
        title: Above it.
        text: The text.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "leave", "Back")]
    DEFAULT_CSS = """
    Reading { align: center middle; }
    Reading VerticalScroll {
        width: 100; max-width: 95%; height: auto; max-height: 85%; padding: 1 2; background: $surface;
        border: round $primary;
    }
    """

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the window."""
        with VerticalScroll() as box:
            box.border_title = self._title
            yield Static(self._text)

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss(None)
