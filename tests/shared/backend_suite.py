"""The suite that every backend passes: the contract of `cas.backend.Backend`, sentence by sentence."""

import random
import threading
import time
from contextlib import closing

import pytest

from cas.backend import Backend
from cas.errors import BadKey, BlobMissing, ObjectChanged, ObjectHeld, StoreFailed, StoreReadOnly

MIB = 1 << 20


def put(backend: Backend, key: str, data: bytes, block_bytes: int = 700_001) -> None:
    """Write, seal and publish."""
    writer = backend.create()
    for start in range(0, len(data), block_bytes):
        writer.write(data[start : start + block_bytes])
    writer.seal()
    backend.publish({writer.name: key})


def get(backend: Backend, key: str) -> bytes:
    with closing(backend.open(key)) as reader:
        return reader.read_at(0, reader.size_bytes + 1)


class BackendSuite:
    """Inherit, and give a fixture `backend`: an empty one, prepared for keys in `box/` and `other/`."""

    has_folders = True
    """Whether the medium has folders, which must be there before a key in them."""

    # -- atomic, whole

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8 * MIB, 8 * MIB + 1, 10 * MIB, 15 * MIB + 4097])
    @pytest.mark.parametrize("block_bytes", [700_001, 9 * MIB])
    def test_gives_back_what_was_written(self, backend: Backend, size: int, block_bytes: int) -> None:
        data = random.Random(size).randbytes(size)
        put(backend, "box/a", data, block_bytes)
        assert get(backend, "box/a") == data
        assert backend.stat("box/a").size_bytes == size

    def test_takes_any_kind_of_buffer_and_keeps_none(self, backend: Backend) -> None:
        writer = backend.create()
        block = bytearray(b"first")
        writer.write(block)
        block[:] = b"wrong"
        writer.write(memoryview(b"-second-")[1:7])
        writer.write(b"third")
        writer.seal()
        backend.publish({writer.name: "box/a"})
        assert get(backend, "box/a") == b"firstsecondthird"

    def test_reuses_a_large_buffer_only_after_taking_it(self, backend: Backend) -> None:
        writer = backend.create()
        block = bytearray(3 * MIB)
        for value in range(8):
            block[:] = bytes([value]) * len(block)
            writer.write(block)
        writer.seal()
        backend.publish({writer.name: "box/a"})
        with closing(backend.open("box/a")) as reader:
            for value in range(8):
                assert set(reader.read_at(value * len(block), len(block))) == {value}

    def test_reads_at_any_place(self, backend: Backend) -> None:
        put(backend, "box/a", b"0123456789")
        with closing(backend.open("box/a")) as reader:
            reader.forget_cached()
            assert reader.size_bytes == 10
            assert reader.read_at(3, 4) == b"3456"
            assert reader.read_at(8, 10) == b"89"
            assert reader.read_at(10, 1) == b""

    def test_rereads_at_any_place(self, backend: Backend) -> None:
        data = random.Random(9).randbytes(9 * MIB + 5)
        put(backend, "box/a", data)
        with closing(backend.open("box/a")) as reader:
            reader.forget_cached()
            for offset, length in (
                *((start, 4 * MIB) for start in range(0, len(data), 4 * MIB)),
                (3, 4),
                (4095, 2),
                (1, 4 * MIB),
                (5, len(data)),
                (len(data) - 2, 10),
                (len(data), 1),
                (0, 0),
            ):
                assert reader.reread(offset, length) == data[offset : offset + length], (offset, length)
                assert reader.read_at(offset + 1, 10) == data[offset + 1 : offset + 11]

    @pytest.mark.parametrize("size", [10, 12 * MIB + 5])
    def test_reads_back_before_the_seal_and_goes_on(self, backend: Backend, size: int) -> None:
        data = random.Random(size).randbytes(size)
        writer = backend.create()
        writer.write(data)
        assert writer.read_at(3, size) == data[3:]
        writer.write(b"more")
        writer.seal()
        backend.publish({writer.name: "box/a"})
        assert get(backend, "box/a") == data + b"more"

    def test_nothing_has_the_key_before_publish(self, backend: Backend) -> None:
        writer = backend.create()
        writer.write(b"x")
        writer.seal()
        with pytest.raises(BlobMissing):
            backend.open("box/a")
        assert list(backend.list("")) == []

    def test_publish_replaces_and_an_open_reader_keeps_the_old(self, backend: Backend) -> None:
        put(backend, "box/a", b"old")
        with closing(backend.open("box/a")) as reader:
            put(backend, "box/a", b"newer")
            assert reader.read_at(0, reader.size_bytes) == b"old"
        assert get(backend, "box/a") == b"newer"

    def test_several_are_published_in_their_order(self, backend: Backend) -> None:
        names = []
        for data in (b"first", b"second", b"last"):
            writer = backend.create()
            writer.write(data)
            writer.seal()
            names.append(writer.name)
        backend.publish(dict(zip(names, ("box/a", "other/b", "box/a"), strict=True)))
        assert {info.key: get(backend, info.key) for info in backend.list("")} == {
            "box/a": b"last",
            "other/b": b"second",
        }
        assert list(backend.temporaries()) == []

    def test_writers_of_one_key_at_once_leave_one_of_them_whole(self, backend: Backend) -> None:
        bodies = [bytes([value]) * 50_000 for value in range(8)]
        threads = [threading.Thread(target=put, args=(backend, "box/a", body)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get(backend, "box/a") in bodies
        assert list(backend.temporaries()) == []

    # -- parts

    @pytest.mark.parametrize("size", [0, 1, 5000, 9 * MIB + 5, 23 * MIB])
    def test_a_part_is_written_in_several_goes(self, backend: Backend, size: int) -> None:
        data = random.Random(size).randbytes(size)
        part = backend.append("a-part", 0)
        for at in range(0, size, 3 * MIB):
            part.write(data[at : at + 3 * MIB])
        part.settle()
        assert part.written_bytes == part.sync() == size
        part.close()
        assert backend.temporary_bytes("a-part") == size
        part = backend.append("a-part", size)
        part.write(data)
        part.settle()
        part.write(b"end")
        part.seal()
        backend.publish({part.name: "box/a"})
        assert get(backend, "box/a") == data + data + b"end"
        assert (list(backend.temporaries()), backend.temporary_bytes("a-part")) == ([], 0)

    def test_a_part_is_cut_to_where_it_goes_on(self, backend: Backend) -> None:
        part = backend.append("a-part", 0)
        part.write(b"0123456789")
        part.close()
        part = backend.append("a-part", 4)
        assert part.written_bytes == 4
        part.write(b"x")
        part.settle()
        assert part.read_at(0, 100) == b"0123x"
        part.close()
        part.close()
        assert backend.temporary_bytes("a-part") == 5

    def test_a_part_that_is_shorter_is_missing(self, backend: Backend) -> None:
        with pytest.raises(BlobMissing):
            backend.append("a-part", 1)
        part = backend.append("a-part", 0)
        part.write(b"0123")
        part.close()
        with pytest.raises(BlobMissing):
            backend.append("a-part", 5)

    def test_a_part_has_one_writer(self, backend: Backend) -> None:
        part = backend.append("a-part", 0)
        with pytest.raises(StoreFailed):
            backend.append("a-part", 0)
        part.close()
        backend.append("a-part", 0).discard()
        assert list(backend.temporaries()) == []

    def test_a_part_that_was_sealed_and_not_published_can_go_on(self, backend: Backend) -> None:
        part = backend.append("a-part", 0)
        part.write(b"0123")
        part.seal()
        part = backend.append("a-part", 4)
        part.write(b"4")
        part.seal()
        backend.publish({part.name: "box/a"})
        assert get(backend, "box/a") == b"01234"

    def test_what_of_a_part_is_durable_can_be_asked_while_it_grows(self, backend: Backend) -> None:
        part = backend.append("a-part", 0)
        block, seen = bytes(MIB), []
        for number in range(1, 31):
            part.write(block)
            seen.append(part.sync())
            assert seen[-1] <= number * MIB
            assert part.read_at(0, seen[-1]) == bytes(seen[-1])
        assert seen == sorted(seen)
        assert seen[-1] > 20 * MIB
        part.discard()

    # -- temporaries

    def test_a_discarded_temporary_is_gone_at_once(self, backend: Backend) -> None:
        for size in (0, 5, 20 * MIB):
            writer = backend.create()
            writer.write(bytes(size))
            assert list(backend.temporaries()) == [writer.name]
            writer.discard()
            writer.discard()
            assert list(backend.temporaries()) == []

    def test_a_sealed_temporary_can_be_discarded(self, backend: Backend) -> None:
        writer = backend.create()
        writer.seal()
        writer.discard()
        assert list(backend.temporaries()) == []

    def test_discarding_after_publish_leaves_the_object(self, backend: Backend) -> None:
        writer = backend.create()
        writer.write(b"x")
        writer.seal()
        backend.publish({writer.name: "box/a"})
        writer.discard()
        assert get(backend, "box/a") == b"x"

    def test_leftovers_are_listed_and_discarded_by_name(self, backend: Backend) -> None:
        names = sorted(backend.create().name for _ in range(3))
        assert sorted(backend.temporaries()) == names
        for name in (*names, names[0]):
            backend.discard(name)
        assert list(backend.temporaries()) == []

    def test_names_say_nothing_and_never_repeat(self, backend: Backend) -> None:
        writers = [backend.create() for _ in range(50)]
        assert len({writer.name for writer in writers}) == 50
        assert all(len(writer.name) >= 32 for writer in writers)

    # -- missing

    def test_what_is_missing_is_named(self, backend: Backend) -> None:
        with pytest.raises(BlobMissing, match="box/a"):
            backend.open("box/a")
        with pytest.raises(BlobMissing, match="box/a"):
            backend.stat("box/a")
        with pytest.raises(BlobMissing, match="box/a"):
            backend.move("box/a", "box/b")
        with pytest.raises(BlobMissing, match="nowhere/a"):
            backend.move("nowhere/a", "box/b")
        with pytest.raises(StoreFailed):
            backend.publish({"0" * 32: "box/a"})

    def test_a_folder_is_no_object(self, backend: Backend) -> None:
        put(backend, "box/a", b"x")
        for key in ("box", "box/a/b"):
            with pytest.raises(BlobMissing):
                backend.open(key)
            with pytest.raises(BlobMissing):
                backend.stat(key)

    def test_publish_into_an_unprepared_folder_fails(self, backend: Backend) -> None:
        writer = backend.create()
        writer.seal()
        if self.has_folders:
            with pytest.raises(StoreFailed):
                backend.publish({writer.name: "nowhere/a"})
        backend.prepare(["nowhere", "nowhere/deep/er"])
        backend.publish({writer.name: "nowhere/deep/er/a"})
        assert get(backend, "nowhere/deep/er/a") == b""

    # -- move and remove

    def test_move_renames_and_replaces(self, backend: Backend) -> None:
        put(backend, "box/a", b"moved")
        put(backend, "other/b", b"replaced")
        backend.move("box/a", "other/b")
        assert [info.key for info in backend.list("")] == ["other/b"]
        assert get(backend, "other/b") == b"moved"

    def test_move_takes_the_very_object(self, backend: Backend) -> None:
        put(backend, "box/a", b"seen")
        with closing(backend.open("box/a")) as reader:
            put(backend, "box/a", b"seen")
            with pytest.raises(ObjectChanged):
                backend.move("box/a", "other/a", reader)
        assert [info.key for info in backend.list("")] == ["box/a"]
        with closing(backend.open("box/a")) as reader:
            backend.move("box/a", "other/a", reader)
            with pytest.raises(BlobMissing):
                backend.move("box/a", "other/b", reader)
        assert [info.key for info in backend.list("")] == ["other/a"]

    def test_what_is_held_stays_for_all_but_its_holder(self, backend: Backend) -> None:
        put(backend, "box/a", b"held")
        backend.prepare(["other"])
        with closing(backend.open("box/a")) as holder, closing(backend.open("box/a")) as another:
            holder.hold()
            for only in (None, another):
                with pytest.raises(ObjectHeld):
                    backend.move("box/a", "other/a", only)
            backend.move("box/a", "other/a", holder)
        assert get(backend, "other/a") == b"held"
        backend.move("other/a", "box/a")

    def test_a_change_has_a_time(self, backend: Backend) -> None:
        before = time.time()
        put(backend, "box/a", b"new")
        assert before - 5 < backend.stat("box/a").changed_at < time.time() + 5

    def test_remove_may_be_repeated(self, backend: Backend) -> None:
        put(backend, "box/a", b"x")
        backend.remove("box/a")
        backend.remove("box/a")
        assert list(backend.list("")) == []

    # -- list

    def test_list_is_in_order_of_keys(self, backend: Backend) -> None:
        backend.prepare(["box/a", "box/b/c", "boxes"])
        keys = ["box/a/1", "box/a.b", "box/a-b", "box/a0", "box/b/c/d", "box/B", "other/z", "boxes/a", "top"]
        for key in reversed(keys):
            put(backend, key, key.encode())
        assert [info.key for info in backend.list("")] == sorted(keys)
        assert [info.key for info in backend.list("box/")] == sorted(key for key in keys if key.startswith("box/"))
        assert [info.size_bytes for info in backend.list("box/b/")] == [len("box/b/c/d")]
        for prefix in ("box", "box/a", "box/b", "box/b/c/d", "t", "box/a-", "other/zz"):
            assert [info.key for info in backend.list(prefix)] == sorted(key for key in keys if key.startswith(prefix))
        assert list(backend.list("nothing/")) == []

    # -- keys

    @pytest.mark.parametrize(
        "key",
        ["", "/a", "a/", "a//b", "../a", "box/../a", "box/.hidden", ".", "a\0b", "a b", "ä", "box/" + "n" * 256,
         "incoming/a", "/".join(["n"] * 17)],
    )  # fmt: skip
    def test_a_key_that_could_escape_is_refused(self, backend: Backend, key: str) -> None:
        writer = backend.create()
        writer.seal()
        with pytest.raises(BadKey):
            backend.publish({writer.name: key})
        with pytest.raises(BadKey):
            backend.open(key)
        with pytest.raises(BadKey):
            backend.stat(key)
        with pytest.raises(BadKey):
            backend.remove(key)
        with pytest.raises(BadKey):
            backend.move("box/a", key)

    # -- failing

    def test_read_only_refuses_every_write_and_still_reads(self, backend: Backend) -> None:
        put(backend, "box/a", b"x")
        sealed = backend.create()
        sealed.seal()
        backend.turn_read_only("the disk is on fire")
        assert backend.read_only_reason == "the disk is on fire"
        for write in (
            backend.create,
            lambda: backend.publish({sealed.name: "box/b"}),
            lambda: backend.move("box/a", "box/b"),
            lambda: backend.remove("box/a"),
            lambda: backend.prepare(["new"]),
        ):
            with pytest.raises(StoreReadOnly, match="on fire"):
                write()
        assert get(backend, "box/a") == b"x"
        assert [info.key for info in backend.list("box/")] == ["box/a"]
        backend.allow_writes()
        assert backend.read_only_reason is None
        backend.publish({sealed.name: "box/b"})

    def test_the_first_reason_stays(self, backend: Backend) -> None:
        backend.turn_read_only("first")
        backend.turn_read_only("second")
        assert backend.read_only_reason == "first"

    def test_closing_twice_is_fine(self, backend: Backend) -> None:
        put(backend, "box/a", b"x")
        reader = backend.open("box/a")
        backend.close()
        backend.close()
        assert reader.read_at(0, 1) == b"x"
        reader.close()
        reader.close()
