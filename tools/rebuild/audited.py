"""How far each account's audit had come, by the checkpoints of it in the journal: a catalog with fewer events is older
than the journal, since a checkpoint names only events whose transactions were committed."""

from contextlib import suppress

from cas.errors import JournalBroken
from cas.journal import Journal
from catalog import records


def events_known(journal: Journal, chain: str) -> dict[str, int]:
    """The newest event of each account, by its uuid, that this chain of checkpoints names. What a broken chain says up
    to its fault is true as well; tools/verify names the fault."""
    known: dict[str, int] = {}
    with suppress(JournalBroken):
        for record in journal.records(chain):
            for line in records.decode(record.body or b""):
                if isinstance(line, records.AuditHeadsLine):
                    known |= {head.chain: max(head.sequence, known.get(head.chain, 0)) for head in line.heads}
    return known
