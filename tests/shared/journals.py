"""A journal in memory that keeps the contract of `catalog.records.JournalWriter`, and can be told to fail."""

from collections import defaultdict

from cas.digest import Digest


class MemoryJournal:
    """Records by chain and sequence; what lay at a sequence before is kept under `abandoned`."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[int, tuple[Digest, Digest | None, bytes]]] = defaultdict(dict)
        self.abandoned: list[bytes] = []
        self.fault: Exception | None = None

    def append(self, chain: str, sequence: int, previous: Digest | None, body: bytes) -> Digest:
        if self.fault is not None:
            raise self.fault
        records = self.chains[chain]
        if sequence in records:
            self.abandoned.append(records[sequence][2])
        if sequence > 1:
            assert previous == records[sequence - 1][0], "a record names its predecessor"
        digest = Digest.of(b"%d %b" % (sequence, body))
        records[sequence] = (digest, previous, body)
        return digest
