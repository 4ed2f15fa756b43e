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
def test_every_page_is_quiet_accessible_and_fits(
    preview: str, open_window: Window, width: int, dark: bool, scale: Callable[[int, int], int]
) -> None:
    """At the short scale axe takes one half of the pages at one look and the other half at the other."""
    looks = scale(len(LOOKS), 1)
    window = open_window(width, dark=dark)
    window.expected_statuses = {400, 401, 403, 404, 409, 410, 503}
    for number, sample in enumerate(samples(), LOOKS.index((width, dark))):
        answer = window.page.goto(preview + sample.url)
        assert answer
        assert answer.status == sample.status
        window.check_fits()
        if number % looks == 0:
            window.check_accessible()
