"""Going through a page with the keyboard alone, as somebody does who has no mouse."""

from typing import Final

from playwright.sync_api import Locator, Page, expect

STEPS_MAX: Final = 80
"""What is further away by Tab than this is out of reach."""

_HAS_FOCUS: Final = "element => element === document.activeElement"
_SHOWS: Final = """element => [element, element.nextElementSibling, element.parentElement]
    .some(near => near && getComputedStyle(near).outlineStyle !== "none")"""


def tab_to(target: Locator, *, back: bool = False) -> None:
    """Press Tab (or Shift+Tab) until `target` has the focus, and see that it shows."""
    page = target.page
    expect(target).to_be_attached()
    for _ in range(STEPS_MAX):
        if target.evaluate(_HAS_FOCUS):
            break
        page.keyboard.press("Shift+Tab" if back else "Tab")
    expect(target).to_be_focused()
    expect(target).to_be_in_viewport()
    assert target.evaluate(_SHOWS), "the focus is not to be seen"


def press(target: Locator, key: str = "Enter") -> None:
    """Go to `target` by Tab, and press the key there."""
    tab_to(target)
    target.page.keyboard.press(key)


def write(target: Locator, text: str) -> None:
    """Go to a field by Tab, and type over what it holds."""
    tab_to(target)
    target.page.keyboard.press("ControlOrMeta+a")
    target.page.keyboard.type(text)


def agree(page: Page, words: str) -> None:
    """Answer the question that is asked with its own button, by Tab and Enter."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    press(dialog.get_by_role("button", name=words, exact=True))
