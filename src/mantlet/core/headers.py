"""HTTP field lines as they came, with names in lower case."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

JSON: Final = (b"content-type", b"application/json")


class Headers:
    """Field lines in order; names are lower-case bytes, values are stripped bytes.

    `get` answers for a field that stands once; a field that must stand once and does not is in `repeated`,
    and whoever reads a security-relevant field asks there first.
    """

    __slots__ = ("_first", "_found", "fields", "get", "has_repeats")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: list[tuple[bytes, bytes]] = fields if isinstance(fields, list) else list(fields)
        # Reversed, so that the first of repeated fields is the one `get` answers with.
        first = self._first = dict(reversed(self.fields))
        # The dictionary's own method: some thirty questions a call, and a frame less for each.
        self.get: Callable[[bytes], bytes | None] = first.get
        """The first value of a name (lower case), or None."""
        self.has_repeats = len(first) != len(self.fields)
        """Whether any field stands more than once."""
        self._found: dict[object, object] = {}

    def once(self, read: Callable[["Headers"], T]) -> T:
        """`read(self)`, worked out the first time only.

        Clients repeat their heads, and a door may hand out one object for all that are equal. What `read` gives must
        depend on nothing but the fields, and must not be changed by who gets it.
        """
        try:
            return self._found[read]  # type: ignore[return-value]  # under `read` stands what it gave
        except KeyError:
            found = self._found[read] = read(self)
            return found

    def text(self, name: bytes) -> str | None:
        """The first value of `name` as text; field values are ISO 8859-1 on the wire (RFC 9110 section 5.5)."""
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1")

    def all(self, name: bytes) -> list[bytes]:
        """Every value of `name`, in order."""
        return [value for field, value in self.fields if field == name]

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Whether any of `names` stands here: one call to rule out all that is rare."""
        return not names.isdisjoint(self._first)

    def has_prefix(self, prefix: bytes) -> bool:
        """Whether any name begins with `prefix`."""
        # One search in C: a name holds no line end.
        return b"\n" + prefix in b"\n".join((b"", *self._first))

    def repeated(self, names: frozenset[bytes]) -> bytes | None:
        """The first of `names` that stands more than once, or None."""
        if not self.has_repeats:
            return None
        seen: set[bytes] = set()
        for name, _ in self.fields:
            if name in seen and name in names:
                return name
            seen.add(name)
        return None

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        # Values may be credentials: names only (AUD-06).
        return f"Headers({[name.decode('latin-1') for name, _ in self.fields]})"
