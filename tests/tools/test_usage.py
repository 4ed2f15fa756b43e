"""tools/usage: the day's rows, and a feed that billing can check."""

import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, stored
from tools.run.processes import python
from tools.usage.feed import feed_key


def usage(service: Service, *arguments: str) -> bytes:
    done = subprocess.run(
        python("tools.usage", *arguments), env=service.given.environ, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_days_are_recorded_and_the_feed_is_signed(make_service: Callable[..., Service]) -> None:
    service = make_service()
    with sign_in(service.url, service.settings) as client:
        stored(Device.make(client, "laptop"), "a.bin", b"x" * 1000)
        page = client.get("/usage")
        assert page.status_code == 200
        assert "1,000 bytes of" in page.text
        assert usage(service, "record").strip() == b"recorded 1 accounts"
        today = datetime.now(UTC).date().isoformat()
        (day,) = client.get("/api/v1/usage").json()["days"]
        assert (day["day"], day["logical_bytes"], day["files"]) == (today, 1000, 1)
    feed = usage(service, "feed", "--day", today)
    head, account, last = (json.loads(line) for line in feed.splitlines())
    assert head == {"feed": "otb-cloud usage", "version": 1, "day": today}
    assert (account["logical_bytes"], account["files"], last["accounts"]) == (1000, 1, 1)
    key = feed_key(service.settings.otb_portal_shared_secret)
    signed = feed[: feed.rstrip(b"\n").rindex(b"\n") + 1]
    assert last["hmac_sha256"] == hmac.new(key, signed, hashlib.sha256).hexdigest()
    assert len(usage(service, "feed", "--day", "2001-01-01").splitlines()) == 2
