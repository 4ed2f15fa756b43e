"""Pieces of a body gathered into blocks."""

import random
import tracemalloc

from web.blocks import Block


def test_what_was_put_in_comes_out_in_order() -> None:
    source = random.Random(5)
    pieces = [source.randbytes(source.choice([0, 1, 3, 4_095, 4_096, 70_000])) for _ in range(200)]
    block = Block()
    for piece in pieces:
        block.append(piece)
    assert len(block) == sum(map(len, pieces))
    assert block.take() == b"".join(pieces)
    assert (len(block), block.take()) == (0, b"")


def test_crumbs_cost_no_more_than_their_bytes() -> None:
    block = Block()
    tracemalloc.start()
    for number in range(200_000):
        block.append(b"%02d" % (number % 100))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20
    assert len(block.take()) == 400_000
