"""The people of the stand-in portal: who may sign in, and what they will find."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otb_cloud_billing import Person


@dataclass(frozen=True, slots=True)
class Visitor:
    """One choice on the stand-in's page. `finds` says what this person will see in OTB Cloud."""

    key: str
    person: Person
    finds: str

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.person.name.split()[:2])


@dataclass(frozen=True, slots=True)
class Household:
    """A customer of the portal, or its staff, with the people who sign in."""

    name: str
    visitors: tuple[Visitor, ...]


SAMPLE_OWNER: Final = Person(
    client="1001",
    user="1",
    email="ana@maplestreet.example",
    name="Ana Tremblay",
    role="owner",
    label="Maple Street Photography",
)
SAMPLE_MEMBER: Final = Person(
    client="1001",
    user="2",
    email="jonas@maplestreet.example",
    name="Jonas Reed",
    role="member",
    label="Maple Street Photography",
)
EMPTY_OWNER: Final = Person(
    client="1002",
    user="1",
    email="priya@northwind.example",
    name="Priya Nair",
    role="owner",
    label="Northwind Ceramics",
)
SUSPENDED_OWNER: Final = Person(
    client="1003",
    user="1",
    email="tom@harbourbooks.example",
    name="Tom Callaghan",
    role="owner",
    label="Harbour Street Books",
)
STAFF: Final = Person(
    client="staff-1",
    user="staff-1",
    email="sam@outsidethebox.example",
    name="Sam Okafor",
    role="staff",
    label="",
)

HOUSEHOLDS: Final = (
    Household(
        "Maple Street Photography",
        (
            Visitor("owner", SAMPLE_OWNER, "Two devices: photos over years, documents, versions, a deletion"),
            Visitor("member", SAMPLE_MEMBER, "The same files, with a member’s rights"),
        ),
    ),
    Household("Northwind Ceramics", (Visitor("empty", EMPTY_OWNER, "A new account without a device or a file"),)),
    Household(
        "Harbour Street Books", (Visitor("suspended", SUSPENDED_OWNER, "A suspended account: the way in is shut"),)
    ),
    Household("OutsideTheBox", (Visitor("staff", STAFF, "No customer’s files without the owner’s permission"),)),
)

PEOPLE: Final[Mapping[str, Person]] = {v.key: v.person for household in HOUSEHOLDS for v in household.visitors}
