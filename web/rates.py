"""`Buckets`: how often something may be done, by whom; a bucket per key, in this process.

What always holds: who keeps to the rate is never refused, and who was quiet may do as much as a bucket holds at once;
memory has a limit, however many keys there are. Several server processes have buckets each, so that in all as many
times as much passes.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

from web.errors import TooFast
from web.limits import CHANGES, KEYS_MAX, OPEN_CALLS, REFUSED_SIGN_INS, WRONG_CREDENTIALS, Allowance

_NETWORK_BITS: Final = 64
"""Of an IPv6 address: the rest is its owner's to choose."""


class Buckets:
    """The generic cell rate algorithm (ITU-T I.371): of each key is kept when its bucket is full again."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_seconds = 1 / allowance.per_second
        self._full_seconds = allowance.at_once / allowance.per_second
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable) -> None:
        """Do it once. Raises `TooFast`."""
        self.check(key)
        self._full_at[key] = max(self._clock(), self._full_at.get(key, 0.0)) + self._interval_seconds
        self._full_at.move_to_end(key)
        if len(self._full_at) > KEYS_MAX:
            # Whose last time is longest ago is nearest to having a full bucket anyway.
            self._full_at.popitem(last=False)

    def check(self, key: Hashable) -> None:
        """Whether it may be done now. Raises `TooFast`."""
        wait_seconds = self._full_at.get(key, 0.0) + self._interval_seconds - self._full_seconds - self._clock()
        # A nanosecond forgives what adding up many intervals loses.
        if key in self._full_at and wait_seconds > 1e-9:
            raise TooFast(math.ceil(wait_seconds))

    def __len__(self) -> int:
        return len(self._full_at)


@dataclass(frozen=True, slots=True)
class Rates:
    """All of them. What goes wrong is counted when it did, and its bucket looked at before it is tried."""

    open_calls: Buckets = field(default_factory=lambda: Buckets(OPEN_CALLS))
    refused_sign_ins: Buckets = field(default_factory=lambda: Buckets(REFUSED_SIGN_INS))
    wrong_credentials: Buckets = field(default_factory=lambda: Buckets(WRONG_CREDENTIALS))
    changes: Buckets = field(default_factory=lambda: Buckets(CHANGES))


def network(address: str | None) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""  # a socket without an address: all its clients are one
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return (int(parsed) >> (128 - _NETWORK_BITS)).to_bytes(_NETWORK_BITS // 8).hex()
