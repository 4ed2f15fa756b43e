"""The mail that an owner gets: plain text, without the name of any file."""

from collections.abc import Iterable
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from catalog.lapses import AGAIN_DAYS, Lapse

_TEXT = """\
Your device “{name}” was last heard of at OTB Cloud on {heard}.

What it had sent until then is safe. What has changed on it since is not backed up.

Please see whether it is switched on and connected. On a computer, `otb-cloud status` says more. If you no longer use \
it, end its access, and these mails stop:

{url}/devices

Until then you are told every {again} days.
"""


def message_about(lapse: Lapse, sender: str, public_url: str, now: datetime) -> EmailMessage | None:
    """The mail to all owners; None where none of them has an address that can be one."""
    owners = list(_addresses(lapse.owners))
    if not owners:
        return None
    message = EmailMessage()
    message["Subject"] = f"“{lapse.device_name}” has not backed up for {(now - lapse.heard_at).days} days"
    message["From"] = sender
    message["To"] = owners
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=urlsplit(public_url).hostname)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    heard = lapse.heard_at.astimezone(ZoneInfo(lapse.time_zone))
    message.set_content(
        _TEXT.format(
            name=lapse.device_name, heard=f"{heard:%d %B %Y, %H:%M} ({lapse.time_zone})", url=public_url,
            again=AGAIN_DAYS,
        )
    )  # fmt: skip
    return message


def _addresses(texts: Iterable[str]) -> Iterable[Address]:
    for text in texts:
        try:
            yield Address(addr_spec=text)
        except (MessageError, ValueError, IndexError):
            continue  # nothing that a mail server could take
