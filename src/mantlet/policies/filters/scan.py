"""Everything that a set of filters finds in one JSON value, in one look."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mantlet.policies.filters import prototype, ssrf, traversal
from mantlet.policies.filters.catalogue import PROTOTYPE, SSRF, TEXT_FILTERS, TRAVERSAL, TextFilter, may_any
from mantlet.policies.filters.decoded import Undecodable, is_encoded
from mantlet.policies.filters.folded import folded
from mantlet.policies.filters.names import is_path, is_url
from mantlet.policies.filters.rules import EDGE, OverBudget, Work
from mantlet.policies.filters.texts import Place, Texts, path_of

ENCODING: Final = "encoding"
"""Encoded in so many layers, or so often, that nobody can tell in time what is meant."""
BUDGET: Final = "budget"
"""So much that looks like what is looked for that it cannot be told apart in time."""
MAX_HITS: Final = 1_000
"""Findings of one filter in one message that are told apart."""

MAX_PATHS: Final = 5_000
"""Values of one message that are looked at as paths, at 4 us each."""
MAX_ADDRESSES: Final = 1_000
"""The same as addresses, at 25 us."""


class Hit(NamedTuple):
    """A finding in its place. `start` and `end` are in the text there; both -1 where the whole text is meant."""

    filter: str
    rule: str
    place: Place
    is_name: bool
    start: int = -1
    end: int = -1


NOWHERE: Final[Place] = (None, "")

IsUri = Callable[[Place], bool]
"""Whether a place is that of a resource's own name."""


def scan(texts: Texts, active: frozenset[str], located: frozenset[str], is_uri: IsUri | None = None) -> list[Hit]:
    """What the `active` filters find in `texts`, in no particular order; those that are `located` tell where exactly.

    Linear in the length of the texts.
    """
    hits: list[Hit] = []
    for each in TEXT_FILTERS if _is_suspect(texts, active) else ():
        if each.name not in active:
            continue
        try:
            hits += _found(each, texts, with_places=each.name in located)
        except Undecodable:
            hits.append(Hit(each.name, f"{each.name}.{ENCODING}", NOWHERE, is_name=True))
        except OverBudget:
            hits.append(Hit(each.name, f"{each.name}.{BUDGET}", NOWHERE, is_name=True))
    if TRAVERSAL in active or SSRF in active:
        hits += _arguments(texts, active, is_uri)
    return hits


def _is_suspect(texts: Texts, active: frozenset[str]) -> bool:
    joined = texts.joined
    return is_encoded(joined) or may_any(active)(joined if joined.isascii() else folded(joined))


def _found(each: TextFilter, texts: Texts, *, with_places: bool) -> list[Hit]:
    parts = texts.plain() if each.is_decoded else texts.parts
    joined = texts.plain_joined if each.is_decoded else folded(texts.joined) if each.is_folded else texts.joined
    if not each.may(joined):
        return []
    hits: list[Hit] = []
    work = Work()
    for number, part in enumerate(parts):
        edged = f"{EDGE}{folded(part) if each.is_folded else part}{EDGE}"
        if not each.may(edged):
            continue
        is_name, is_same = number in texts.names, part is texts.parts[number] or part == texts.parts[number]
        for rule, start, end in each.found(edged, work, with_places and is_same and not is_name):
            place = (start, end) if is_same and with_places else (-1, -1)
            hits.append(Hit(each.name, rule, texts.places[number], is_name, *place))
        if len(hits) > MAX_HITS:
            raise OverBudget
    return hits


def names_in(texts: Texts) -> list[Hit]:
    """Names of members that reach a prototype."""
    return [
        Hit(PROTOTYPE, "prototype.name", texts.places[number], is_name=True)
        for number in texts.names
        if prototype.is_reaching(texts.parts[number])
    ]


def nested_names_in(texts: Texts) -> list[Hit]:
    """The same in texts that are JSON or queries themselves."""
    return [
        Hit(PROTOTYPE, "prototype.nested", texts.places[number], number in texts.names)
        for number, part in enumerate(texts.parts)
        if prototype.is_nested(part)
    ]


def _arguments(texts: Texts, active: frozenset[str], is_uri: IsUri | None) -> list[Hit]:
    """Paths and addresses: each value on its own, by what it is called."""
    hits: list[Hit] = []
    try:
        parts = texts.plain()
    except Undecodable:
        return [Hit(name, f"{name}.{ENCODING}", NOWHERE, is_name=True) for name in (TRAVERSAL, SSRF) if name in active]
    has_traversal = TRAVERSAL in active and traversal.may(texts.plain_joined)
    has_ssrf = SSRF in active
    may_ssrf = has_ssrf and ssrf.may(texts.plain_joined)
    paths = addresses = 0
    for number, (value, place) in enumerate(zip(parts, texts.places, strict=True)):
        if number in texts.names:
            continue
        name = place[1] if type(place[1]) is str else _name_of(place)
        if has_traversal and (is_path(name) or traversal.may(f"{EDGE}{value}{EDGE}")):
            paths += 1
            if paths <= MAX_PATHS and (rule := _path_rule(value, name, place, is_uri)):
                hits.append(Hit(TRAVERSAL, rule, place, is_name=False))
        if has_ssrf and (is_url(name) or (may_ssrf and ssrf.may(f"{EDGE}{value}{EDGE}"))):
            addresses += 1
            if addresses <= MAX_ADDRESSES and (rule := ssrf.judge(value, is_called_url=is_url(name))):
                hits.append(Hit(SSRF, rule, place, is_name=False))
    too_many = ((TRAVERSAL, paths > MAX_PATHS), (SSRF, addresses > MAX_ADDRESSES))
    return hits + [Hit(name, f"{name}.{BUDGET}", NOWHERE, is_name=True) for name, is_so in too_many if is_so]


def _path_rule(value: str, name: str, place: Place, is_uri: IsUri | None) -> str:
    return traversal.judge(value, is_called_path=is_path(name), is_uri=is_uri is not None and is_uri(place))


def _name_of(place: Place) -> str:
    """The name of the argument whose list an item stands in."""
    step: str | int = place[1]
    while type(step) is int and place[0] is not None:
        place = place[0]
        step = place[1]
    return step if type(step) is str else ""


def pointer_of(hit: Hit) -> str:
    """A JSON Pointer (RFC 6901) to where it stands. A name that a stranger chose is shown only where it is plain."""
    path = path_of(hit.place)
    if hit.is_name:
        path = path[:-1]
    return "".join(f"/{_shown(step)}" for step in path)


def _shown(step: str | int) -> str:
    if type(step) is int:
        return str(step)
    text = str(step)
    return text if len(text) <= 64 and text.isascii() and text.replace("_", "").replace("-", "").isalnum() else "*"
