"""What the forms of several pages have alike: the entries that were chosen, and the page to go back to."""

from web.bodies import Form, field
from web.parameters import parse_id
from web.paths import has_control_characters


def chosen_of(fields: Form) -> list[int]:
    """The entries that a form names. Raises `NotFound` for what is no id."""
    return [parse_id(text, "file") for text in fields.get("entry", [])]


def back_of(fields: Form) -> str:
    """The page the form was on: a path of ours, or the first page."""
    path = field(fields, "back")
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not has_control_characters(path)
    return path if is_ours else "/"
