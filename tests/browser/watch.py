"""A page that is watched while it is used: its console, its scripts' errors, and the Content Security Policy."""

import re
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

DESK: Final = 1280
PHONE: Final = 390
WAIT_MS: Final = 30_000
"""For anything to be seen, on a machine that does much else."""
_HEIGHTS: Final = {DESK: 800, PHONE: 844}
_ANSWERED: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


class Watched:
    """`page`, and all that it complained of. Not counted are the error answers and the broken connections that the test
    makes on purpose: `expected_statuses`, and `expected_breaks` as Chromium names them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.expected_statuses: set[int] = set()
        self.expected_breaks: set[str] = set()
        self.complaints: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))

    @classmethod
    def open(cls, browser: Browser, width: int, *, dark: bool, scripts: bool, state: Any = None) -> "Watched":
        """`state`: the cookies of an earlier window, as `storage_state` gives them."""
        context = browser.new_context(
            viewport={"width": width, "height": _HEIGHTS[width]},
            color_scheme="dark" if dark else "light",
            has_touch=width == PHONE,
            java_script_enabled=scripts,
            accept_downloads=True,
            storage_state=state,
        )
        context.set_default_timeout(WAIT_MS)
        return cls(context.new_page())

    def check_quiet(self) -> None:
        assert not self.complaints, "\n".join(self.complaints)

    def check_fits(self) -> None:
        """Nothing reaches beyond the window's sides."""
        over: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, f"{self.page.url}: {over} px too wide"

    def check_accessible(self) -> None:
        """axe-core's rules, contrast included: https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md"""
        answer = Axe().run(self.page, options={"resultTypes": ["violations"]})
        found: list[dict[str, Any]] = answer.response["violations"]
        told = [f"{v['id']}: {node['html'][:200]} {node['failureSummary']}" for v in found for node in v["nodes"]]
        assert not told, f"{self.page.url}\n" + "\n".join(told)

    def _hear(self, kind: str, text: str) -> None:
        answered = _ANSWERED.match(text)
        if answered and int(answered[1]) in self.expected_statuses:
            return
        if any(f"net::{name}" in text for name in self.expected_breaks):
            return
        if kind in {"error", "warning"}:
            self.complaints.append(f"{kind}: {text}")
