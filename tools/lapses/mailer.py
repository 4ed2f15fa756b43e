"""`Mailer`: one connection to the mail server, encrypted unless the server is this very host."""

import smtplib
import ssl
from email.message import EmailMessage
from types import TracebackType
from typing import Final

from catalog.settings import Settings

TIMEOUT_SECONDS: Final = 30.0


class MailerDown(Exception):
    """The mail server cannot be reached, or wants nothing of us. Its text is a sentence."""


class Refused(Exception):
    """The mail server does not take this message, and may take others."""


class Mailer:
    """Connects with its first use as a context manager. Raises `MailerDown` from there on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> "Mailer":
        settings = self._settings
        try:
            self._smtp = self._connected()
            if settings.mail_user:
                self._smtp.login(settings.mail_user, settings.mail_password)
        except (OSError, smtplib.SMTPException) as error:
            self._close()
            raise MailerDown(f"the mail server {settings.mail_server} does not let us in ({error})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def send(self, message: EmailMessage) -> None:
        """Returns once the server has taken it. Raises `Refused`, `MailerDown`."""
        if self._smtp is None:
            raise MailerDown("the mail server was not connected to")
        try:
            self._smtp.send_message(message)
        except smtplib.SMTPServerDisconnected as error:
            raise MailerDown(f"the mail server went away ({error})") from error
        except smtplib.SMTPException as error:
            raise Refused(f"the mail server does not take the mail ({error})") from error
        except OSError as error:
            raise MailerDown(f"the mail server went away ({error})") from error

    def _connected(self) -> smtplib.SMTP:
        settings, context = self._settings, ssl.create_default_context()
        where = (settings.mail_server or "", settings.mail_port)
        if settings.mail_tls == "tls":
            return smtplib.SMTP_SSL(*where, timeout=TIMEOUT_SECONDS, context=context)
        smtp = smtplib.SMTP(*where, timeout=TIMEOUT_SECONDS)
        if settings.mail_tls == "starttls":
            try:
                smtp.starttls(context=context)
            except BaseException:
                smtp.close()
                raise
        return smtp

    def _close(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None
