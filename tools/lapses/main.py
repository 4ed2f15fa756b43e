"""Tells owners by mail of devices that have not backed up for LAPSE_DAYS: once when it begins, then once a week.

Does nothing where MAIL_SERVER is not set, or LAPSE_DAYS is 0. What cannot be sent now, the next run sends.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog import clock
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, Settings, load_settings
from tools.lapses.mailer import Mailer, MailerDown, Refused
from tools.lapses.message import message_about


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all who were to be told are, 1 some are not (a line each on stderr), 2 it could not run."""
    argparse.ArgumentParser(prog="tools/lapses", description=__doc__).parse_args(argv)
    try:
        settings = load_settings()
        if not settings.mail_server or not settings.lapse_days:
            print("nobody is told: MAIL_SERVER is not set, or LAPSE_DAYS is 0")
            return 0
        return asyncio.run(_run(settings))
    except (BadSettings, CasError, CatalogError, MailerDown) as error:
        print(f"tools/lapses: {error}", file=sys.stderr)
        return 2


async def _run(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store_id = BlobStore.open(backend).store_id
        catalog = await Catalog.open(settings, Journal(backend), store_id, connections_max=1)
        stack.push_async_callback(catalog.close)
        lapses, after, told, failed = catalog.system.lapses, (0, 0), 0, 0
        mailer: Mailer | None = None
        while page := await lapses.page(settings.lapse_days, after):
            mailer = mailer or stack.enter_context(Mailer(settings))
            for lapse in page:
                message = message_about(lapse, settings.mail_from, settings.public_url, clock.now())
                try:
                    if message is None:
                        raise Refused("its account has no owner with a mail address")
                    mailer.send(message)
                except Refused as error:
                    failed += 1
                    where = f"device {lapse.device_id} of account {lapse.tenant_id}"
                    print(f"tools/lapses: {where}: nobody was told: {error}", file=sys.stderr)
                    continue
                await lapses.mailed(lapse)  # after the mail: told twice is better than never
                told += 1
            after = page[-1].tenant_id, page[-1].device_id
    print(f"told the owners of {told:,} devices")
    return 1 if failed else 0
