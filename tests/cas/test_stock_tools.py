"""What lies in the store can be checked without us: `b3sum FILE`, `zstd -dc FILE | b3sum`, and for a pack
`head -c -44 FILE | b3sum`."""

import subprocess
from pathlib import Path

import pytest
from blake3 import blake3

from cas.blob import Encoding
from cas.layout import blob_key, pack_key, pieces_key
from cas.store import BlobStore
from tests.cas.samples import BOUNDARY_SIZES, MIB, noise, prose
from tests.shared.stores import SparseBackend


def b3sum(path: Path) -> str:
    done = subprocess.run(["b3sum", "--no-names", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("size", BOUNDARY_SIZES)
def test_b3sum_names_an_identity_blob(local: SparseBackend, local_store: BlobStore, size: int) -> None:
    blob = local_store.place(local_store.stage([noise(size)]))
    path = local.root / blob_key(blob.digest, Encoding.IDENTITY)
    assert path.relative_to(local.root).parts[:3] == ("blobs", path.name[:2], path.name[2:4])
    assert b3sum(path) == path.name == blob.digest.hex


@pytest.mark.parametrize("size", [size for size in BOUNDARY_SIZES if size >= 4096])
def test_zstd_and_b3sum_name_a_packed_blob(local: SparseBackend, local_store: BlobStore, size: int) -> None:
    blob = local_store.place(local_store.stage([prose(size)]))
    path = local.root / blob_key(blob.digest, Encoding.ZSTD)
    assert path.name == blob.digest.hex + ".zst"
    subprocess.run(["zstd", "-qt", path], check=True)
    plain = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    named = subprocess.run(["b3sum", "--no-names"], input=plain, capture_output=True, check=True).stdout
    assert named.decode().strip() == blob.digest.hex


def test_the_pieces_file_is_the_digests_of_4_mib_each_and_a_seal(
    local: SparseBackend, local_store: BlobStore, tmp_path: Path
) -> None:
    data = noise(9 * MIB + 5)
    blob = local_store.place(local_store.stage([data]))
    pieces = (local.root / pieces_key(blob.digest)).read_bytes()
    expected = b"".join(blake3(data[start : start + 4 * MIB]).digest() for start in range(0, len(data), 4 * MIB))
    assert pieces[:-32] == expected
    (tmp_path / "digests").write_bytes(expected)
    command = ["b3sum", "--keyed", "--no-names", str(tmp_path / "digests")]
    seal = subprocess.run(command, input=blob.digest.raw, capture_output=True, check=True).stdout
    assert pieces[-32:].hex() == seal.decode().strip()


@pytest.mark.parametrize("size", [4 * MIB, 4 * MIB + 1])
def test_pieces_lie_beside_large_identity_blobs_only(local: SparseBackend, local_store: BlobStore, size: int) -> None:
    plain = local_store.place(local_store.stage([noise(size)]))
    packed = local_store.place(local_store.stage([prose(size)]))
    assert (local.root / pieces_key(plain.digest)).exists() == (size > 4 * MIB)
    assert not (local.root / pieces_key(packed.digest)).exists()


def test_b3sum_proves_a_pack(local: SparseBackend, local_store: BlobStore) -> None:
    with local_store.pack() as writer:
        for seed in range(20):
            writer.add(noise(100_000, seed))
        local_store.place_pack(writer.finish())
    path = local.root / pack_key(writer.pack_id)
    command = f"head -c -44 {path} | b3sum --no-names; tail -c 44 {path} | head -c 32 | od -An -v -tx1 | tr -d ' \\n'"
    found, kept = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.split()
    assert found == kept
