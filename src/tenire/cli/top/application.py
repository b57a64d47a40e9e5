"""The live view: a table of pipelines, what is known of the chosen one, and what happened.

It looks at the feed four times a second and changes only what is different, since a
terminal over a slow line has to keep up, and drawing is most of what it costs.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.widgets import Footer, RichLog, Static

from tenire.app.feed import LEVELS
from tenire.cli.output import clean
from tenire.cli.top.rows import detail, event, headline, item, row
from tenire.cli.top.screens import Question, Reading
from tenire.cli.top.table import Pipelines
from tenire.errors import TenireError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from tenire.app.feed import Actions, Feed, Outcome

__all__ = ["PERIOD_S", "Top"]

PERIOD_S = 0.25
"""Between two looks."""
_OVER = ("done", "failed", "cancelled", "interrupted")


class Top(App[int]):
    """Shows a feed, and does what keys ask for.

    Args:
        feed: What to show; it is entered and left by the application.
    """

    TITLE = "tenire top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: auto; max-height: 5; padding: 0 1; }
    #pipelines { height: auto; max-height: 50%; scrollbar-size-horizontal: 0; }
    #detail { height: 1fr; padding: 0 1; border-top: solid $panel; }
    #events { height: 9; padding: 0 1; border-top: solid $panel; overflow-y: auto; }
    .-low #pipelines { max-height: 40%; }
    .-low #events { height: 5; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012 - textual's name and kind
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause"),
        Binding("c", "cancel", "Cancel"),
        Binding("plus,equals_sign", "priority(-1)", "Priority", key_display="+ -"),
        Binding("minus", "priority(1)", "Priority down", show=False),
        Binding("w", "weight", "Weight"),
        Binding("y", "why", "Why"),
        Binding("f", "failed", "Failed"),
        Binding("r", "retry", "Retry"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("q,ctrl+c", "quit", "Quit", priority=False),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._shown = 0
        self._told: set[tuple[float, int]] = set()

    @property
    def _actions(self) -> Actions:
        return self._feed.actions

    @property
    def _table(self) -> Pipelines:
        return self.query_one(Pipelines)

    def compose(self) -> ComposeResult:
        """Make the view."""
        yield Static(id="head")
        yield Pipelines()
        yield Static(id="detail")
        yield RichLog(id="events", wrap=True, max_lines=200, min_width=20)
        yield Footer(compact=True)  # so that all keys stand in 80 columns

    async def on_mount(self) -> None:
        """Begin to look."""
        await self._feed.__aenter__()
        self.set_interval(PERIOD_S, self.look)
        self.look()
        self._table.focus()

    async def on_unmount(self) -> None:
        """Look no more."""
        await self._feed.__aexit__(None, None, None)

    # -- showing ------------------------------------------------------------

    def look(self) -> None:
        """Show the latest view, if it is not the one that is shown."""
        view = self._feed.view
        if view.number == self._shown or len(self.screen_stack) > 1:
            return
        self._shown = view.number
        self.query_one("#head", Static).update(headline(view))
        self._table.put({name: row(name, view) for name in view.pipelines})
        self._show_detail()
        log = self.query_one("#events", RichLog)
        for happened in view.events:
            if (happened.at, happened.number) not in self._told:
                self._told.add((happened.at, happened.number))
                clock = datetime.fromtimestamp(happened.at).astimezone().strftime("%H:%M:%S")
                log.write(event(happened, clock), expand=True)
        self._told &= {(happened.at, happened.number) for happened in view.events}  # the others never come again

    def _show_detail(self) -> None:
        name = self._chosen()
        box = self.query_one("#detail", Static)
        if name is None:
            box.update(Text("nothing has run here yet; to begin: tenire ingest PATH", "dim"))
        else:
            box.update(detail(name, self._feed.view, width=box.content_size.width))

    def on_data_table_row_highlighted(self) -> None:
        """Show what is known of the row that was gone to."""
        self._show_detail()

    def _chosen(self) -> str | None:
        table = self._table
        if not table.row_count:
            return None
        name = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return name if name in self._feed.view.pipelines else None

    # -- doing -----------------------------------------------------------------

    def _do(self, what: Awaitable[Outcome]) -> None:
        async def done() -> None:
            try:
                self._say((await what).text)
            except TenireError as error:
                self._refuse(error)

        self.run_worker(done())

    def _say(self, text: str) -> None:
        self.notify(clean(text), markup=False)

    def _refuse(self, error: TenireError) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        self.notify(clean(f"{error}{hint}"), severity="error", markup=False, timeout=10)

    def action_pause(self) -> None:
        """Pause the chosen pipeline, or let it go on."""
        name = self._chosen()
        if name is not None:
            paused = self._feed.view.pipelines[name].state == "paused"
            self._do(self._actions.resume(name) if paused else self._actions.pause(name))

    def action_cancel(self) -> None:
        """Cancel the chosen pipeline, or all to end the run, once that was confirmed."""
        name = self._chosen()

        def answered(answer: str | None) -> None:
            if name is not None and (answer or "").lower() in ("y", "yes"):
                self._do(self._actions.cancel(name))
            elif (answer or "").lower() == "all":
                pipelines = self._feed.view.pipelines.items()
                self._do(self._actions.end([each for each, pipeline in pipelines if pipeline.state not in _OVER]))

        if name is not None:
            text = f"Cancel {name}? What is finished is kept. Write yes, or all to end the whole run:"
            self.push_screen(Question(text), answered)

    def action_priority(self, step: int) -> None:
        """Move the chosen pipeline by one level."""
        name = self._chosen()
        if name is not None:
            now = LEVELS.index(self._feed.view.pipelines[name].priority or "normal")
            level = LEVELS[min(len(LEVELS) - 1, max(0, now + step))]
            self._do(self._actions.priority(name, level))

    def action_weight(self) -> None:
        """Ask for the weight of the chosen pipeline."""
        name = self._chosen()

        def answered(answer: str | None) -> None:
            if name is None or not answer:
                return
            try:
                weight = float(answer)
            except ValueError:
                self.notify(f"a weight is a number above 0, got {clean(answer)}", severity="error", markup=False)
                return
            self._do(self._actions.weight(name, weight))

        if name is not None:
            self.push_screen(Question(f"Weight of {name}:", f"{self._feed.view.pipelines[name].weight:g}"), answered)

    def action_why(self) -> None:
        """Ask about a task, or an entry of the quarantine."""
        name = self._chosen()
        tasks = [] if name is None else self._feed.view.pipelines[name].tasks
        first = next((task.id for task in tasks if task.state != "running"), tasks[0].id if tasks else "")

        async def tell(task: str) -> None:
            try:
                answer = await self._actions.why(task)
            except TenireError as error:
                self._refuse(error)
            else:
                self.push_screen(Reading(f"why {task}", Text(clean(answer.paragraph))))

        self._ask("Why is this task, or entry of the quarantine, where it is?", first, tell)

    def action_failed(self) -> None:
        """Show the quarantine."""
        view = self._feed.view
        text = Text("\n").join(item(entry) for entry in view.quarantine)
        self.push_screen(Reading(f"quarantine: {view.quarantined:,}", text or Text("everything could be used", "dim")))

    def action_retry(self) -> None:
        """Ask which entries of the quarantine to try again."""

        async def retry(ids: str) -> None:
            try:
                outcome = await self._actions.retry(None if ids == "all" else ids.replace(",", " ").split())
            except TenireError as error:
                self._refuse(error)
            else:
                self._say(outcome.text)

        if self._feed.view.quarantined:
            self._ask("Which entries to try again? Their ids, or all:", "all", retry)
        else:
            self._say("nothing is in quarantine")

    def action_search(self) -> None:
        """Ask for a query and show what was found."""

        async def find(query: str) -> None:
            try:
                found = await self._actions.search(query)
            except TenireError as error:
                self._refuse(error)
                return
            text = Text()
            for number, hit in enumerate(found.hits, 1):
                passage = Text(clean(hit.text, lines=True))
                if passage.plain == hit.text:  # nothing was escaped, so that offsets still hold
                    for begin, end in hit.highlights:
                        passage.stylize("bold yellow", begin, end)
                text.append(f"{number}. {clean(hit.source)}\n", "bold").append_text(passage).append("\n\n")
            self.push_screen(Reading(f"search: {clean(query)}", text or Text("nothing was found", "dim")))

        self._ask("Search the store for:", "", find)

    def _ask(self, text: str, value: str, then: Any) -> None:
        def answered(answer: str | None) -> None:
            if answer:
                self.run_worker(then(answer))

        self.push_screen(Question(text, value), answered)
