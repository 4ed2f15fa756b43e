"""The words of the activity page: no event is hidden, and a folder sent file by file is one line."""

from datetime import UTC, datetime
from typing import Any

from catalog.values import AuditEvent
from web.activity import action_icon, action_words, event_bytes, event_words, run_words, runs


def event(action: str, subject: str = "", address: str = "203.0.113.7", **detail: Any) -> AuditEvent:
    return AuditEvent(1, datetime(2026, 5, 3, tzinfo=UTC), "user", "Maya Chen", action, subject, detail, address)


def test_known_acts_read_as_sentences() -> None:
    assert event_words(event("upload", "Photos/a.jpg")) == "Uploaded Photos/a.jpg"
    assert event_words(event("export.create", "Photos", members=214)) == "Prepared a zip of 214 items: Photos"
    assert event_words(event("export.create", "Photos", members=1)) == "Prepared a zip of 1 item: Photos"
    assert event_words(event("token.create", "laptop", label="nas")) == "Made the token “nas” for laptop"
    refused = event("sign_in.refused", reason="wrong_audience")
    assert event_words(refused) == "A sign-in was refused (wrong audience)"


def test_a_subject_with_braces_is_only_text() -> None:
    assert event_words(event("upload", "{label}{0}{")) == "Uploaded {label}{0}{"


def test_an_unknown_act_is_shown_by_its_own_name() -> None:
    assert event_words(event("hold.purge", "laptop")) == "Hold purge: laptop"
    assert event_words(event("hold.purge")) == "Hold purge"
    assert action_words("hold.purge") == "Hold purge"
    assert action_icon("hold.purge") == "activity"


def test_uploads_in_a_row_are_one_line_in_their_order() -> None:
    first = [event("upload", f"{n}.jpg", bytes=10) for n in range(4)]
    signed_in = event("sign_in")
    few = [event("upload", "x"), event("upload", "y")]
    elsewhere = [event("upload", "z", address="198.51.100.1")] * 3
    lines = runs([*first, signed_in, *few, *elsewhere])
    assert lines == [first, [signed_in], [few[0]], [few[1]], elsewhere]
    assert run_words(lines[0]) == "Uploaded 4 files"
    assert run_words([event("download", "a")] * 3) == "Downloaded 3 files"
    assert sum(event_bytes(one) for one in lines[0]) == 40


def test_other_acts_in_a_row_each_keep_their_line() -> None:
    deletions = [event("delete", str(n)) for n in range(5)]
    assert runs(deletions) == [[one] for one in deletions]
    assert event_bytes(event("delete", bytes=5)) == 0
    assert event_bytes(event("upload", bytes="many")) == 0
