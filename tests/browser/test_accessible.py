"""Every page in every state, in a real browser under the strict policy: quiet, accessible and within the window. The
server behind is the preview.
"""

from collections.abc import Callable

import pytest

from tests.browser.samples import samples
from tests.browser.watch import DESK, PHONE, Watched

LOOKS = [(DESK, False), (PHONE, True)]
"""Each width and each scheme once: a width changes no colour, and a scheme no place."""
Window = Callable[..., Watched]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_every_page_is_quiet_accessible_and_fits(preview: str, open_window: Window, width: int, dark: bool) -> None:
    window = open_window(width, dark=dark)
    window.expected_statuses = {400, 401, 403, 404, 409, 410, 503}
    for sample in samples():
        answer = window.page.goto(preview + sample.url)
        assert answer
        assert answer.status == sample.status
        window.check_fits()
        window.check_accessible()
