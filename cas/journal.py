"""`Journal`: chains of records, append-only, each naming its predecessor. The store alone can be rebuilt from them.

What always holds: a record is durable when `append` returns; at a sequence of a chain there is at most one record that
is not abandoned; a header never goes, a body only by `erase`. One writer per chain at a time: the catalog's lock on the
chain's head row sees to that. `docs/decisions/0005-journal-records.md` and `docs/decisions/0012-rebuilding.md`.
"""

from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from cas.backend import Backend
from cas.digest import Digest
from cas.errors import BlobMissing, BlobUnreadable, JournalBroken
from cas.layout import JOURNAL
from cas.record import (
    HEADERS_NAME,
    Header,
    Record,
    checked_chain,
    decode_lines,
    decode_record,
    encode_lines,
    encode_record,
    folder_name,
    is_part_name,
    parsed_name,
    part_name,
    record_name,
)

ABANDONED: Final = ".abandoned"


@dataclass(frozen=True, slots=True)
class _Link:
    """A record's place: its key, and what its name says. `header` alone is left of one whose body was erased."""

    key: str
    sequence: int
    digest: Digest
    header: Header | None = None


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
        folder = _folder(chain, sequence)
        self._check_predecessor(chain, sequence, previous)
        header = Header.of(chain, sequence, previous, body)
        digest = Digest.of(header.line())
        data = encode_record(header, body)
        self._backend.prepare([folder])
        self._abandon(folder, sequence)
        self._publish(data, f"{folder}/{record_name(sequence, digest)}")
        return digest

    def records(self, chain: str, first: int = 0) -> Iterator[Record]:
        """Every record in order, without the abandoned. Raises `JournalBroken` at the first that is missing, doubled or
        does not match its name, its body or its predecessor. A chain that was never begun has none.

        `first`: begin there instead, believing that record's predecessor; nothing is said of what lies before it."""
        before: Record | None = None
        for link in self._links(f"{JOURNAL}/{checked_chain(chain)}/", first):
            record = self._record(chain, link)
            if before is not None or first == 0:
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

    def faults(self, chain: str) -> list[str]:
        """Everything that is wrong with a chain, exactly: which records are missing, and which do not prove themselves.
        Empty for a whole one."""
        found: list[str] = []
        before: Record | None = None
        last: int | None = None
        for link in self._links(f"{JOURNAL}/{checked_chain(chain)}/"):
            if link.sequence not in {last, (last or 0) + 1} and (last is not None or link.sequence > 1):
                found.append(f"{chain}: {_missing((last or 0) + 1, link.sequence - 1)}")
                before = None
            try:
                record = self._record(chain, link)
                if before is not None:
                    _check_follows(chain, record, before)
            except (JournalBroken, BlobUnreadable) as error:
                found.append(str(error))
                before = None
            else:
                before = record
            last = link.sequence
        return found

    def settle(self, chain: str, sequence: int) -> int:
        """Durably mark every record beyond `sequence` as abandoned, and say how many; under the lock of the chain's
        head, which stands there."""
        links = [link for link in self._links(f"{JOURNAL}/{checked_chain(chain)}/", sequence + 1) if not link.header]
        for link in reversed(links):  # from the end, so that what is left is a chain at every moment
            self._backend.move(link.key, link.key + ABANDONED)
        return len(links)

    # -- checkpoints

    def add_part(self, chain: str, through: int, number: int, lines: bytes) -> Digest:
        """Make one part of a checkpoint durable and return the digest by which a record names it. Raises `StoreFull`,
        `StoreReadOnly`, `StoreFailed`."""
        digest = Digest.of(lines)
        folder = _folder(chain, through)
        self._backend.prepare([folder])
        self._publish(encode_lines(lines), f"{folder}/{part_name(through, number, digest)}")
        return digest

    def part(self, chain: str, through: int, number: int, digest: Digest) -> bytes:
        """The lines of a checkpoint's part. Raises `JournalBroken` if it is missing or does not match its digest."""
        key = f"{_folder(chain, through)}/{part_name(through, number, digest)}"
        try:
            lines = decode_lines(self._data(key))
        except (BlobMissing, JournalBroken) as error:
            raise JournalBroken(f"{key}: {error}", chain) from error
        if Digest.of(lines) != digest:
            raise JournalBroken(f"{key}: the part does not match its digest", chain)
        return lines

    def erase(self, chain: str, through: int, keep: Collection[Digest]) -> int:
        """Erase every body up to `through`, abandoned ones too, and every part but those of these digests; the headers
        stay. Returns how many files went. A checkpoint beyond `through` must be durable, and committed, before.

        Each step is durable before the next, and may be repeated: what an interruption leaves, the next run takes.
        Raises `JournalBroken`, `StoreFull`, `StoreReadOnly`, `StoreFailed`.
        """
        prefix = f"{JOURNAL}/{checked_chain(chain)}/"
        folders: dict[str, list[str]] = {}
        for info in self._backend.list(prefix):
            folder, _, name = info.key.rpartition("/")
            if _is_own(prefix, folder):
                folders.setdefault(folder, []).append(name)
        return sum(self._erase_in(chain, folder, names, through, keep) for folder, names in folders.items())

    def forget(self, tenant: str) -> int:
        """Remove every file of a tenant's chains for good, headers too, and say how many; an account that was closed.
        Repeating is harmless. Raises `StoreReadOnly`, `StoreFailed`."""
        keys = [info.key for info in self._backend.list(f"{JOURNAL}/{checked_chain(tenant)}/")]
        for key in keys:
            self._backend.remove(key)
        return len(keys)

    def _erase_in(self, chain: str, folder: str, names: list[str], through: int, keep: Collection[Digest]) -> int:
        links = [_Link(f"{folder}/{name}", *parsed) for name in names if (parsed := parsed_name(name))]
        spent = [link for link in links if link.sequence <= through]
        if spent:
            headers = {header.sequence: header for header in self._headers(folder)}
            headers |= {link.sequence: self._read(chain, link)[0] for link in spent}
            lines = b"".join(headers[sequence].line() + b"\n" for sequence in sorted(headers))
            self._publish(encode_lines(lines), f"{folder}/{HEADERS_NAME}")
        doomed = [link.key for link in spent]
        doomed += [f"{folder}/{name}" for name in names if _is_abandoned(name, through)]
        doomed += [f"{folder}/{name}" for name in names if is_part_name(name) and _digest_of(name) not in keep]
        for key in doomed:
            self._backend.remove(key)
        return len(doomed)

    # -- reading and writing files

    def _check_predecessor(self, chain: str, sequence: int, previous: Digest | None) -> None:
        if previous is None:
            return
        key = f"{_folder(chain, sequence - 1)}/{record_name(sequence - 1, previous)}"
        try:
            self._backend.stat(key)
        except BlobMissing as error:
            raise JournalBroken(f"{chain}: record {sequence - 1} ({previous}) is not in the journal", chain) from error

    def _abandon(self, folder: str, sequence: int) -> None:
        for info in list(self._backend.list(f"{folder}/{sequence:016d}-")):
            if parsed_name(info.key.rpartition("/")[2]) is not None:
                self._backend.move(info.key, info.key + ABANDONED)

    def _publish(self, data: bytes, key: str) -> None:
        writer = self._backend.create()
        try:
            writer.write(data)
            writer.seal()
            self._backend.publish({writer.name: key})
        finally:
            writer.discard()

    def _links(self, prefix: str, first: int = 0) -> Iterator[_Link]:
        """Every record of the chain from `first` on, in order; folders that lie before it are not even listed."""
        begins = f"{prefix}{folder_name(first)}" if first else prefix
        listed = (info.key.rpartition("/") for info in self._backend.list(prefix))
        for folder, parts in groupby(listed, key=lambda part: part[0]):
            if _is_own(prefix, folder) and folder >= begins.rstrip("/"):
                yield from self._links_in(folder, [name for _, _, name in parts], first)

    def _links_in(self, folder: str, names: list[str], first: int) -> Iterator[_Link]:
        links = [_Link(f"{folder}/{name}", *parsed) for name in names if (parsed := parsed_name(name))]
        there = {(link.sequence, link.digest) for link in links}
        # After the listing, and whether it has them or not: what was erased while it was made is among them.
        erased = [(header, Digest.of(header.line())) for header in self._headers(folder)]
        links += [
            _Link(f"{folder}/{HEADERS_NAME}", header.sequence, digest, header)
            for header, digest in erased
            if (header.sequence, digest) not in there
        ]
        yield from sorted((link for link in links if link.sequence >= first), key=lambda link: link.sequence)

    def _headers(self, folder: str) -> list[Header]:
        """What is left of erased records in this folder. Raises `JournalBroken`."""
        key = f"{folder}/{HEADERS_NAME}"
        try:
            lines = decode_lines(self._data(key))
        except BlobMissing:
            return []
        except JournalBroken as error:
            raise JournalBroken(f"{key}: {error}") from error
        return [Header.parse(line) for line in lines.split(b"\n") if line]

    def _record(self, chain: str, link: _Link) -> Record:
        if link.header is None:
            try:
                header, body = self._read(chain, link)
            except BlobMissing:
                return self._record(chain, self._erased_meanwhile(chain, link))
            return Record(link.sequence, link.digest, header.previous, body)
        if (link.header.chain, link.header.sequence) != (chain, link.sequence):
            raise JournalBroken(f"{link.key}: a header is another chain's", chain)
        return Record(link.sequence, link.digest, link.header.previous, None)

    def _erased_meanwhile(self, chain: str, link: _Link) -> _Link:
        for header in self._headers(link.key.rpartition("/")[0]):
            if header.sequence == link.sequence and Digest.of(header.line()) == link.digest:
                return _Link(link.key, link.sequence, link.digest, header)
        raise JournalBroken(f"{link.key}: the record went while it was read", chain)

    def _read(self, chain: str, link: _Link) -> tuple[Header, bytes]:
        try:
            header, body = decode_record(self._data(link.key))
        except JournalBroken as error:
            raise JournalBroken(f"{link.key}: {error}", chain) from error
        if Digest.of(header.line()) != link.digest or (header.chain, header.sequence) != (chain, link.sequence):
            raise JournalBroken(f"{link.key}: the record is not the one its name says", chain)
        return header, body

    def _data(self, key: str) -> bytes:
        with closing(self._backend.open(key)) as reader:
            return reader.read_at(0, reader.size_bytes)


def _folder(chain: str, sequence: int) -> str:
    return f"{JOURNAL}/{checked_chain(chain)}/{folder_name(sequence)}"


def _is_own(prefix: str, folder: str) -> bool:
    """Whether the folder lies right in the chain: a longer chain may begin with this one's name."""
    return folder.count("/") == prefix.count("/")


def _is_abandoned(name: str, through: int) -> bool:
    parsed = parsed_name(name.removesuffix(ABANDONED)) if name.endswith(ABANDONED) else None
    return parsed is not None and parsed[0] <= through


def _digest_of(part: str) -> Digest:
    return Digest.from_hex(part.rpartition("-")[2].removesuffix(".zst"))


def _missing(first: int, last: int) -> str:
    return f"record {first} is missing" if first == last else f"records {first} to {last} are missing"


def _check_follows(chain: str, record: Record, before: Record | None) -> None:
    if before is None:
        if record.previous is not None:
            raise JournalBroken(f"{chain}: the records before {record.sequence} are missing", chain)
        return
    if record.sequence == before.sequence:
        raise JournalBroken(f"{chain}: there are two records {record.sequence}", chain)
    if record.sequence != before.sequence + 1 or record.previous != before.digest:
        raise JournalBroken(f"{chain}: record {record.sequence} does not follow {before.sequence}", chain)
