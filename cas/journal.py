"""`Journal`: chains of records, append-only, each naming its predecessor. The store alone can be rebuilt from them.

What always holds: a record is durable when `append` returns; at a sequence of a chain there is at most one record that
is not abandoned. One writer per chain at a time: the catalog's lock on the chain's head row sees to that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cas.backend import Backend
from cas.digest import Digest
from cas.errors import BlobMissing, JournalBroken
from cas.layout import JOURNAL
from cas.record import (
    Header,
    Record,
    checked_chain,
    decode_record,
    encode_record,
    folder_name,
    parsed_name,
    record_name,
)

ABANDONED: Final = ".abandoned"


@dataclass(frozen=True, slots=True)
class _Link:
    """A record's place: its key, and what its name says."""

    key: str
    sequence: int
    digest: Digest


class Journal:
    """All chains of a store, under `journal/`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def append(self, chain: str, sequence: int, previous: Digest | None, body: bytes) -> Digest:
        """Add a record behind `previous` (None: the chain's first) and return its digest; durable then.

        Any other record already at this sequence comes from a commit that failed and is first durably renamed to
        `….abandoned`. Raises `JournalBroken` if `previous` is not the record before, `StoreFull`, `StoreReadOnly`,
        `StoreFailed`: the record may be there then or not, and the next `append` settles it.
        """
        folder = f"{JOURNAL}/{checked_chain(chain)}/{folder_name(sequence)}"
        self._check_predecessor(chain, sequence, previous)
        header = Header.of(chain, sequence, previous, body)
        digest = Digest.of(header.line())
        data = encode_record(header, body)
        self._backend.prepare([folder])
        self._abandon(folder, sequence)
        self._publish(data, f"{folder}/{record_name(sequence, digest)}")
        return digest

    def records(self, chain: str) -> Iterator[Record]:
        """Every record in order, without the abandoned. Raises `JournalBroken` at the first that is missing, doubled or
        does not match its name, its body or its predecessor. A chain that was never begun has none."""
        before: Record | None = None
        for link in self._links(f"{JOURNAL}/{checked_chain(chain)}/"):
            record = self._read(chain, link)
            _check_follows(chain, record, before)
            yield record
            before = record

    def chains(self) -> Iterator[str]:
        """The name of every chain, in the order of their keys."""
        last = ""
        for info in self._backend.list(f"{JOURNAL}/"):
            chain = info.key.removeprefix(f"{JOURNAL}/").rpartition("/")[0].rpartition("/")[0]
            if chain != last:
                yield chain
                last = chain

    def _check_predecessor(self, chain: str, sequence: int, previous: Digest | None) -> None:
        if previous is None:
            return
        key = f"{JOURNAL}/{chain}/{folder_name(sequence - 1)}/{record_name(sequence - 1, previous)}"
        try:
            self._backend.stat(key)
        except BlobMissing as error:
            raise JournalBroken(f"{chain}: record {sequence - 1} ({previous}) is not in the journal", chain) from error

    def _abandon(self, folder: str, sequence: int) -> None:
        for link in self._links(f"{folder}/{sequence:016d}-"):
            self._backend.move(link.key, link.key + ABANDONED)

    def _publish(self, data: bytes, key: str) -> None:
        writer = self._backend.create()
        try:
            writer.write(data)
            writer.seal()
            self._backend.publish({writer.name: key})
        finally:
            writer.discard()

    def _links(self, prefix: str) -> Iterator[_Link]:
        depth = prefix.count("/")
        for info in self._backend.list(prefix):
            folder, _, name = info.key.rpartition("/")
            parsed = parsed_name(name)
            is_own = folder.count("/") in {depth - 1, depth}  # a longer chain may begin with this one's name
            if parsed is not None and is_own:
                yield _Link(info.key, *parsed)

    def _read(self, chain: str, link: _Link) -> Record:
        reader = self._backend.open(link.key)
        try:
            data = reader.read_at(0, reader.size_bytes)
        finally:
            reader.close()
        try:
            header, body = decode_record(data)
        except JournalBroken as error:
            raise JournalBroken(f"{link.key}: {error}", chain) from error
        if Digest.of(header.line()) != link.digest or (header.chain, header.sequence) != (chain, link.sequence):
            raise JournalBroken(f"{link.key}: the record is not the one its name says", chain)
        return Record(link.sequence, link.digest, header.previous, body)


def _check_follows(chain: str, record: Record, before: Record | None) -> None:
    if before is None:
        if record.previous is not None:
            raise JournalBroken(f"{chain}: the records before {record.sequence} are missing", chain)
        return
    if record.sequence == before.sequence:
        raise JournalBroken(f"{chain}: there are two records {record.sequence}", chain)
    if record.sequence != before.sequence + 1 or record.previous != before.digest:
        raise JournalBroken(f"{chain}: record {record.sequence} does not follow {before.sequence}", chain)
