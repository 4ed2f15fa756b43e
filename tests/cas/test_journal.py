"""The journal: chains that prove themselves, and what happens to records of commits that failed."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from cas.backend import Backend
from cas.digest import Digest
from cas.errors import BadKey, JournalBroken, StoreReadOnly
from cas.journal import Journal
from tests.shared.stores import SparseBackend

CHAIN = "0e8e5a4c-7d0f-4f0e-9a53-3d1c6d3c6f11/device-7"


@pytest.fixture
def journal(local: SparseBackend) -> Journal:
    return Journal(local)


def fill(journal: Journal, last: int, chain: str = CHAIN, first: int = 1) -> list[Digest]:
    """Records `first` to `last`, their bodies their numbers."""
    digests: list[Digest] = []
    for sequence in range(first, last + 1):
        digests.append(journal.append(chain, sequence, digests[-1] if digests else None, b"%d" % sequence))
    return digests


def files(local: SparseBackend, chain: str = CHAIN) -> list[Path]:
    return [local.root / info.key for info in local.list(f"journal/{chain}/")]


def test_records_come_back_in_order(backend: Backend) -> None:
    journal = Journal(backend)
    chain = f"{'a' * 36}/{type(backend).__name__.lower()}"
    assert list(journal.records(chain)) == []
    digests = fill(journal, 300, chain, first=200)
    records = list(journal.records(chain))
    assert [record.sequence for record in records] == list(range(200, 301))
    assert [record.digest for record in records] == digests
    assert [record.previous for record in records] == [None, *digests[:-1]]
    assert [record.body for record in records] == [b"%d" % sequence for sequence in range(200, 301)]


@pytest.mark.parametrize("body", [b"", b"\n", b"\n\n{}\n", bytes(range(256)), b"x" * (3 << 20)])
def test_any_body_comes_back(journal: Journal, body: bytes) -> None:
    journal.append(CHAIN, 1, None, body)
    assert [record.body for record in journal.records(CHAIN)] == [body]


def test_at_most_256_records_to_a_folder(journal: Journal, local: SparseBackend) -> None:
    fill(journal, 513, first=250)
    counts: dict[str, int] = {}
    for file in files(local):
        counts[file.parent.name] = counts.get(file.parent.name, 0) + 1
    assert counts == {"0000000000": 6, "0000000001": 256, "0000000002": 2}


def test_the_file_is_what_the_decision_record_says(journal: Journal, local: SparseBackend) -> None:
    first, second = fill(journal, 2)
    path = files(local)[1]
    assert path.relative_to(local.root).as_posix() == f"journal/{CHAIN}/0000000000/{2:016d}-{second}.zst"
    line, body = zstandard.ZstdDecompressor().decompress(path.read_bytes()).split(b"\n", 1)
    header = json.loads(line)
    assert (header["version"], header["chain"], header["sequence"]) == (1, CHAIN, 2)
    assert header["previous"] == first.hex
    assert body == b"2"
    assert header["body_digest"] == blake3(bytes.fromhex(header["salt"]) + body).hexdigest()
    assert blake3(line).hexdigest() == second.hex
    assert line == json.dumps(header, separators=(",", ":"), sort_keys=True).encode()


def test_equal_bodies_have_different_salts(journal: Journal) -> None:
    assert journal.append("a/b", 1, None, b"same") != journal.append("a/c", 1, None, b"same")


def test_chains_are_listed_and_kept_apart(journal: Journal) -> None:
    names = ["a-tenant", "a-tenant/device-1", "a-tenant/device-10", "a-tenant/device-2", "b-tenant/tenant"]
    for name in names:
        fill(journal, 3, name)
    assert sorted(journal.chains()) == names
    for name in names:
        assert [record.body for record in journal.records(name)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "chain",
    ["", "/", "a/", "/a", "a//b", "A", "../a", "a/..", "a.b", "a b", "ä", "0000000001", "a/0000000001", "a/b/c/d/e",
     "x" * 129],
)  # fmt: skip
def test_a_chain_that_could_escape_is_refused(journal: Journal, chain: str) -> None:
    with pytest.raises(BadKey):
        journal.append(chain, 1, None, b"")
    with pytest.raises(BadKey):
        list(journal.records(chain))


@pytest.mark.parametrize("sequence", [-1, 10**16])
def test_a_sequence_has_sixteen_digits(journal: Journal, sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        journal.append(CHAIN, sequence, None, b"")


# -- commits that failed


def test_a_record_of_a_failed_commit_is_abandoned(journal: Journal, local: SparseBackend) -> None:
    *_, second = fill(journal, 2)
    failed = [journal.append(CHAIN, 3, second, b"failed %d" % attempt) for attempt in range(3)]
    third = journal.append(CHAIN, 3, second, b"the one")
    assert [record.body for record in journal.records(CHAIN)] == [b"1", b"2", b"the one"]
    abandoned = {file.name for file in files(local) if file.name.endswith(".abandoned")}
    assert abandoned == {f"{3:016d}-{digest}.zst.abandoned" for digest in failed}
    journal.append(CHAIN, 4, third, b"next")
    assert [record.sequence for record in journal.records(CHAIN)] == [1, 2, 3, 4]


def test_a_successor_must_follow_what_is_there(journal: Journal) -> None:
    *_, last = fill(journal, 256, first=250)
    stranger = Digest.of(b"stranger")
    for sequence, previous in ((257, stranger), (258, last), (253, last)):
        with pytest.raises(JournalBroken, match=str(sequence - 1)):
            journal.append(CHAIN, sequence, previous, b"")
    journal.append(CHAIN, 257, last, b"")


def test_an_abandoned_record_cannot_be_followed(journal: Journal) -> None:
    failed = journal.append(CHAIN, 1, None, b"failed")
    journal.append(CHAIN, 1, None, b"the one")
    with pytest.raises(JournalBroken):
        journal.append(CHAIN, 2, failed, b"")


def test_a_read_only_store_takes_no_record(journal: Journal, local: SparseBackend) -> None:
    *_, last = fill(journal, 3)
    local.turn_read_only("the disk is on fire")
    with pytest.raises(StoreReadOnly):
        journal.append(CHAIN, 4, last, b"")
    assert len(list(journal.records(CHAIN))) == 3


# -- tampering


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def with_body(path: Path, body: bytes) -> bytes:
    line = zstandard.ZstdDecompressor().decompress(path.read_bytes()).split(b"\n", 1)[0]
    return zstandard.ZstdCompressor().compress(line + b"\n" + body)


def with_header(path: Path, **changes: object) -> bytes:
    line, body = zstandard.ZstdDecompressor().decompress(path.read_bytes()).split(b"\n", 1)
    line = json.dumps(json.loads(line) | changes, separators=(",", ":"), sort_keys=True).encode()
    return zstandard.ZstdCompressor().compress(line + b"\n" + body)


TAMPERINGS: dict[str, Callable[[list[Path]], object]] = {
    "first missing": lambda paths: paths[0].unlink(),
    "gap": lambda paths: paths[2].unlink(),
    "gap across folders": lambda paths: paths[1].unlink(),
    "body changed": lambda paths: rewrite(paths[2], with_body(paths[2], b"other")),
    "body cut": lambda paths: rewrite(paths[2], with_body(paths[2], b"")),
    "sequence changed": lambda paths: rewrite(paths[2], with_header(paths[2], sequence=257)),
    "chain changed": lambda paths: rewrite(paths[2], with_header(paths[2], chain="a/b")),
    "predecessor changed": lambda paths: rewrite(paths[2], with_header(paths[2], previous="0" * 64)),
    "version changed": lambda paths: rewrite(paths[2], with_header(paths[2], version=2)),
    "field added": lambda paths: rewrite(paths[2], with_header(paths[2], note="hello")),
    "emptied": lambda paths: rewrite(paths[2], b""),
    "no zstd": lambda paths: rewrite(paths[2], b"hello"),
    "one bit": lambda paths: rewrite(paths[2], paths[2].read_bytes()[:40] + b"\x40" + paths[2].read_bytes()[41:]),
    "two of one number": lambda paths: (
        paths[2].with_name(f"{256:016d}-{'0' * 64}.zst").write_bytes(paths[2].read_bytes())
    ),
    "swapped": lambda paths: paths[2].rename(paths[2].with_name(f"{9:016d}-{paths[2].name.split('-')[1]}")),
    "replaced with a stranger": lambda paths: paths[1].replace(paths[2]),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found(journal: Journal, local: SparseBackend, name: str) -> None:
    fill(journal, 259, first=254)
    TAMPERINGS[name](files(local))
    with pytest.raises(JournalBroken):
        list(journal.records(CHAIN))


def test_what_is_no_record_is_ignored(journal: Journal, local: SparseBackend) -> None:
    fill(journal, 3)
    for name in ("note.txt", f"{4:016d}-{'0' * 64}.zst.abandoned", f"{4:016d}-{'0' * 63}.zst"):
        (files(local)[0].parent / name).write_bytes(b"")
    assert len(list(journal.records(CHAIN))) == 3


# -- checkpoints and erasing


def plain_of_all(local: SparseBackend) -> bytes:
    """Everything that any file of the journal says, unpacked."""
    packed = [(local.root / info.key).read_bytes() for info in local.list("journal/")]
    return b"\n".join(zstandard.ZstdDecompressor().decompress(data) for data in packed)


def test_erasing_leaves_the_headers_and_the_chain_proves_itself(journal: Journal, local: SparseBackend) -> None:
    digests = fill(journal, 520, first=250)
    journal.append(CHAIN, 521, digests[-1], b"the last")
    assert journal.erase(CHAIN, 515, ()) == 266
    records = list(journal.records(CHAIN))
    assert [record.sequence for record in records] == list(range(250, 522))
    assert [record.digest for record in records[:-1]] == digests
    assert [record.body for record in records if record.sequence <= 515] == [None] * 266
    assert [record.body for record in records if record.sequence > 515] == [
        *(b"%d" % number for number in range(516, 521)),
        b"the last",
    ]
    assert len(files(local)) == 3 + 6
    assert [record.sequence for record in journal.records(CHAIN, 514)] == list(range(514, 522))


def test_what_was_erased_is_nowhere_in_the_journal(journal: Journal, local: SparseBackend) -> None:
    first = journal.append(CHAIN, 1, None, b"a secret name")
    journal.append(CHAIN, 2, first, b"a secret that failed")
    second = journal.append(CHAIN, 2, first, b"another secret")
    journal.append(CHAIN, 3, second, b"kept")
    journal.add_part(CHAIN, 1, 0, b"an old secret part")
    kept = journal.add_part(CHAIN, 2, 0, b"a part that counts")
    assert journal.erase(CHAIN, 2, {kept}) == 4
    left = plain_of_all(local)
    assert b"secret" not in left
    assert b"kept" in left
    assert journal.part(CHAIN, 2, 0, kept) == b"a part that counts"
    assert journal.erase(CHAIN, 2, {kept}) == 0


def test_a_chain_goes_on_after_erasing(journal: Journal) -> None:
    *_, last = fill(journal, 3)
    journal.erase(CHAIN, 2, ())
    journal.append(CHAIN, 4, last, b"4")
    journal.erase(CHAIN, 3, ())
    assert [record.body for record in journal.records(CHAIN)] == [None, None, None, b"4"]


def test_a_chain_that_is_erased_while_it_is_read_is_read_to_its_end(journal: Journal) -> None:
    digests = fill(journal, 600)
    reading = journal.records(CHAIN)
    seen = [next(reading) for _ in range(100)]
    journal.erase(CHAIN, 599, ())
    seen += reading
    assert [record.digest for record in seen] == digests
    assert seen[-1].body == b"600"


@pytest.mark.parametrize("moment", range(6))
def test_erasing_may_be_interrupted_anywhere(moment: int, tmp_path: Path) -> None:
    class Stops(Exception):
        pass

    class Interrupted(SparseBackend):
        left = moment

        def _step(self) -> None:
            if self.left == 0:
                raise Stops
            self.left -= 1

        def publish(self, keys):  # type: ignore[no-untyped-def]
            self._step()
            super().publish(keys)

        def remove(self, key: str) -> None:
            self._step()
            super().remove(key)

    fill(Journal(SparseBackend(tmp_path)), 5)
    with pytest.raises(Stops) if moment < 5 else nullcontext():
        Journal(Interrupted(tmp_path)).erase(CHAIN, 4, ())
    journal = Journal(SparseBackend(tmp_path))
    seen = [record.body for record in journal.records(CHAIN)]
    assert len(seen) == 5
    assert seen[4] == b"5"
    journal.erase(CHAIN, 4, ())
    assert [record.body for record in journal.records(CHAIN)] == [None] * 4 + [b"5"]


def test_a_header_that_was_changed_is_found(journal: Journal, local: SparseBackend) -> None:
    fill(journal, 4)
    journal.erase(CHAIN, 3, ())
    headers = next(file for file in files(local) if file.name == "headers.zst")
    lines = zstandard.ZstdDecompressor().decompress(headers.read_bytes()).splitlines(keepends=True)
    for changed in ([lines[0], lines[2]], lines[:2], [*lines, lines[0]], [lines[0][:-1] + b" \n", *lines[1:]]):
        rewrite(headers, zstandard.ZstdCompressor().compress(b"".join(changed)))
        with pytest.raises(JournalBroken):
            list(journal.records(CHAIN))


def test_a_part_that_was_changed_is_found(journal: Journal, local: SparseBackend) -> None:
    digest = journal.add_part(CHAIN, 7, 0, b"lines\n")
    rewrite(files(local)[0], zstandard.ZstdCompressor().compress(b"other\n"))
    for number in (0, 1):
        with pytest.raises(JournalBroken):
            journal.part(CHAIN, 7, number, digest)


def test_records_beyond_the_head_are_settled(journal: Journal) -> None:
    digests = fill(journal, 5)
    assert journal.settle(CHAIN, 3) == 2
    assert [record.sequence for record in journal.records(CHAIN)] == [1, 2, 3]
    assert journal.settle(CHAIN, 3) == 0
    journal.append(CHAIN, 4, digests[2], b"4")


def test_an_account_that_was_closed_is_forgotten(journal: Journal, local: SparseBackend) -> None:
    tenant = CHAIN.partition("/")[0]
    fill(journal, 3)
    fill(journal, 2, f"{tenant}/tenant")
    fill(journal, 2, f"{tenant}-other/tenant")
    assert journal.forget(tenant) == 5
    assert journal.forget(tenant) == 0
    assert list(journal.chains()) == [f"{tenant}-other/tenant"]
