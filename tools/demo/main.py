"""Fills the sample customer, and shuts the suspended one out. Does nothing to a customer who has devices already.

`--resume` fills what an interrupted filling left out: a file that is there already stays as it is.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from otb_cloud_billing import HandoffSigner

from catalog.settings import BadSettings, load_settings
from tools.demo import sample
from tools.demo.customer import Customer
from tools.demo.errors import DemoError
from tools.demo.sample import SampleDevice, SampleFile
from tools.standin.people import SAMPLE_OWNER, SUSPENDED_OWNER
from tools.standin.settings import BadStandinSettings, load_signer
from tools.tenant.main import main as tenant_main

UPLOADS_AT_ONCE: Final = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done or nothing to do, 1 it could not be done (the reason is on stderr)."""
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument("--resume", action="store_true", help="go on with a filling that was interrupted")
    resume: bool = parser.parse_args(argv).resume
    try:
        settings = load_settings()
        url = f"http://{settings.app_host}:{settings.app_port}"
        signer = load_signer({**os.environ, "OTB_PORTAL_SHARED_SECRET": settings.otb_portal_shared_secret})
        with Customer(url) as customer:
            customer.enter(signer, SAMPLE_OWNER)
            print(fill(customer, resume=resume))
        with Customer(url) as customer:
            return suspend(customer, signer)
    except (BadSettings, BadStandinSettings, DemoError, OSError) as error:
        print(f"tools/demo: {error}", file=sys.stderr)
        return 1


def fill(customer: Customer, *, resume: bool) -> str:
    """Devices, photos, documents with versions, deletions. Returns a sentence about it. Raises DemoError."""
    known = customer.devices()
    if known and not resume:
        return "The sample customer has devices already. Nothing was done."
    laptop = _device(customer, known, sample.LAPTOP)
    phone = _device(customer, known, sample.PHONE)
    _upload_all(customer, laptop, sample.laptop_photos())
    # One after another: the order of a document's versions is their order of arrival.
    for file in sample.laptop_documents():
        customer.upload(laptop, file)
    for path in sample.laptop_deleted():
        customer.delete(laptop, path)
    for file in sample.phone_documents():
        customer.upload(phone, file)
    _upload_all(customer, phone, sample.phone_photos())
    return "The sample customer has photos on two devices, documents, versions and deletions."


def suspend(customer: Customer, signer: HandoffSigner) -> int:
    """A customer who came once and whom an operator then suspended."""
    return tenant_main(["suspend", SUSPENDED_OWNER.client]) if customer.enter(signer, SUSPENDED_OWNER) else 0


def _device(customer: Customer, known: dict[str, str], device: SampleDevice) -> str:
    return known.get(device.name) or customer.create_device(device)


def _upload_all(customer: Customer, device_id: str, files: Iterable[SampleFile]) -> None:
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = [pool.submit(customer.upload, device_id, file) for file in files]
        try:
            for upload in uploads:
                upload.result()
        finally:
            for upload in uploads:
                upload.cancel()
