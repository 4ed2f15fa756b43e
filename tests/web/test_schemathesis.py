"""Schemathesis draws good and bad requests from the OpenAPI document and sends them to the real server: no answer is a
5xx, and none is outside of the document."""

import json
from collections.abc import Callable
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from otb_cloud_billing import HandoffSigner
from schemathesis import APIOperation, BaseSchema, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.frames import frame, hex_of
from tests.web.stocked import CONTENTS, Stock, stocked, stocked_document
from tests.web.test_bundles import bundle_of
from web.blob_frames import BLOBS_TYPE
from web.bundles import BUNDLE_TYPE
from web.openapi import DOCUMENT
from web.tus_headers import CHUNK_TYPE

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ANSWER_BYTES_MAX: Final = 4 << 20
"""The account is small, so no answer is larger, zips and files included; each is read no further."""
OPERATIONS: Final = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
NEVER_BAD: Final = {
    ("/api/v1/blobs", "post"): "any bytes are frames, or are named as rejected",
    ("/api/v1/uploads/{upload}", "options"): "it looks at nothing",
} | {
    (path, method): "it takes no input"
    for path, method, operation in OPERATIONS
    if not operation.get("parameters") and "requestBody" not in operation
}
"""What cannot be asked badly, so that no bad requests are drawn."""


def draw_bodies(signer: HandoffSigner, customer: str) -> None:
    """How bodies are drawn that JSON Schema does not describe: well made ones, and any bytes."""
    any_bytes, content = st.binary(max_size=64), st.sampled_from(list(CONTENTS.values()))
    line = {"path": "n", "digest": hex_of(b"d" * 9), "size": 9}
    reports = st.builds(signer.sign_report, st.just(customer), st.sampled_from(["active", "suspended", "cancelled"]))
    for media_type, well_made in {
        BLOBS_TYPE: st.lists(st.binary(max_size=64) | content).map(lambda blobs: b"".join(map(frame, blobs))),
        BUNDLE_TYPE: st.dictionaries(st.sampled_from(["n", "f/m", "o/p"]), content, max_size=3).map(bundle_of),
        "application/x-ndjson": st.sampled_from([line, {"removed": "d"}, {"note": "x"}])
        .map(json.dumps)
        .map(str.encode),
        "application/jwt": reports.map(str.encode),
        CHUNK_TYPE: any_bytes,
    }.items():
        schemathesis.openapi.media_type(media_type, well_made | any_bytes)


def callers(stock: Stock) -> list[requests.Session]:
    """The owner's session and the device's token. Of an answer no more is read than the account can have."""

    def bound(answer: requests.Response, **_: Any) -> None:
        answer._content = answer.raw.read(ANSWER_BYTES_MAX + 1, decode_content=True)
        assert len(answer.content) <= ANSWER_BYTES_MAX, answer.url

    owner, device = requests.Session(), requests.Session()
    cookies = "; ".join(f"{name}={value}" for name, value in stock.owner.cookies.items())
    owner.headers.update({"Cookie": cookies, "X-CSRF-Token": stock.owner.headers["X-CSRF-Token"]})
    device.headers["Authorization"] = f"Bearer {stock.token}"
    for session in (owner, device):
        session.hooks["response"].append(bound)
    return [owner, device]


def schemas_of(stock: Stock) -> dict[GenerationMode, BaseSchema]:
    """What good and what bad requests are drawn from: good ones name what is there, bad ones anything."""
    config = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
    return {
        mode: schemathesis.openapi.from_dict(
            stocked_document(DOCUMENT, stock.values, others=mode.is_negative),
            config=schemathesis.Config.from_dict(config),
        )
        for mode in GenerationMode
    }


def test_the_api_is_as_its_document_says(
    make_service: Callable[..., Service], scale: Callable[[int, int], int]
) -> None:
    service = make_service()
    spare = new_person()
    sign_in(service.url, service.settings, spare).close()
    draw_bodies(HandoffSigner(service.settings.otb_portal_shared_secret), spare.client)
    drawing = settings(
        max_examples=scale(1, 105),
        derandomize=bool(scale(1, 0)),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    cases = 0
    wrong: dict[str, str] = {}

    def try_all(drawn_from: APIOperation[Any, Any, Any, Any], session: requests.Session) -> None:
        @drawing
        @given(case=drawn_from.as_strategy(generation_mode=mode))
        def try_one(case: schemathesis.Case[Any]) -> None:
            nonlocal cases
            cases += 1
            try:
                case.validate_response(case.call(base_url=service.url, session=session), checks=CHECKS)
            except FailureGroup as failures:
                kinds = sorted(type(failure).__name__ for failure in failures.exceptions)
                wrong.setdefault(f"{drawn_from.label}: {kinds}", str(failures))

        try_one()

    for number, (path, method, _) in enumerate(OPERATIONS):
        if number % scale(len(OPERATIONS), 1) == 0:
            stock = stocked(service)
            stock.owner.close()
            schemas = schemas_of(stock)
        for mode in GenerationMode:
            if mode.is_positive or (path, method) not in NEVER_BAD:
                for session in callers(stock):
                    try_all(schemas[mode][path][method], session)
                    session.close()
    assert not wrong, "\n\n".join(wrong.values())
    assert cases >= scale(290, 20_000)
