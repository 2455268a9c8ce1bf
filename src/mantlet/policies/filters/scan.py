"""Everything that the filters of a plan find in one JSON value, in one look."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mantlet.policies.filters import prototype, ssrf, traversal
from mantlet.policies.filters.catalogue import PROTOTYPE, SSRF, TEXT_FILTERS, TRAVERSAL, WORDS
from mantlet.policies.filters.decoded import Undecodable, decoded
from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.names import is_path, is_url
from mantlet.policies.filters.signs import Signs, read
from mantlet.policies.filters.texts import SEPARATOR, Place, Texts, path_of

TOO_DEEP: Final = "encoding"
"""Encoded in so many layers that nobody can tell what is meant."""
MAX_HITS: Final = 1_000
"""Findings of one message that are told apart."""


class Hit(NamedTuple):
    """A finding in its place. `start` and `end` are in the text there; both -1 where the whole text is meant."""

    filter: str
    rule: str
    place: Place
    is_name: bool
    start: int = -1
    end: int = -1


def scan(texts: Texts, active: frozenset[str], is_uri: Callable[[Place], bool] | None = None) -> list[Hit]:
    """What the `active` filters find in `texts`, in no particular order. Linear in the length of the texts.

    `is_uri` tells the places of resources' own names.
    """
    hits: list[Hit] = []
    if PROTOTYPE in active:
        hits += [_placed(PROTOTYPE, finding, texts) for finding in prototype.find(texts.joined)[:MAX_HITS]]
        if len(active) == 1:
            return hits
    signs = read(texts.joined, WORDS)
    plain: str | None = None
    for each in TEXT_FILTERS:
        if each.name not in active or not each.may(signs):
            continue
        if not each.is_decoded:
            hits += [_placed(each.name, finding, texts) for finding in each.find(texts.joined)[:MAX_HITS]]
            continue
        if plain is None:
            try:
                plain = decoded(texts.joined)
            except Undecodable:
                return [*hits, *_undecodable(active)]
        if findings := each.find(plain)[:MAX_HITS]:
            place = _placed if plain is texts.joined else _counted(plain)
            hits += [place(each.name, finding, texts) for finding in findings]
    if TRAVERSAL in active or SSRF in active:
        hits += _arguments(texts, signs, active, is_uri)
    return hits


def _undecodable(active: frozenset[str]) -> list[Hit]:
    decoding = dict.fromkeys(each.name for each in TEXT_FILTERS if each.is_decoded and each.name in active)
    return [Hit(name, f"{name}.{TOO_DEEP}", (None, ""), is_name=True) for name in decoding]


def _placed(name: str, finding: Finding, texts: Texts) -> Hit:
    number = texts.part_at(finding.start)
    begins = texts.starts[number]
    start, end = finding.start - begins, min(finding.end - begins, len(texts.parts[number]))
    return Hit(name, finding.rule, texts.places[number], number in texts.names, start, end)


def _counted(plain: str) -> Callable[[str, Finding, Texts], Hit]:
    """For findings in the decoded text, whose places are others: separators are counted."""
    at = number = 0

    def place(name: str, finding: Finding, texts: Texts) -> Hit:
        nonlocal at, number
        if finding.start < at:
            at = number = 0
        number += plain.count(SEPARATOR, at, finding.start)
        at = finding.start
        known = min(number, len(texts.parts) - 1)
        return Hit(name, finding.rule, texts.places[known], known in texts.names)

    return place


def _arguments(texts: Texts, signs: Signs, active: frozenset[str], is_uri: Callable[[Place], bool] | None) -> list[Hit]:
    """Paths and addresses: each value on its own, by what it is called."""
    has_traversal = TRAVERSAL in active and (not signs.marks.isdisjoint(_LEADING) or ".." in texts.joined)
    has_ssrf = SSRF in active
    if not has_traversal and not has_ssrf:
        return []
    hits: list[Hit] = []
    for number, (part, place) in enumerate(zip(texts.parts, texts.places, strict=True)):
        if number in texts.names:
            continue
        name = _name_of(place)
        value = part
        if "%" in part or "&" in part or not part.isascii():
            try:
                value = decoded(part)
            except Undecodable:
                value = "..%/"  # deeper than anybody needs: judged as the worst it may say
        if has_traversal:
            rule = traversal.judge(value, is_called_path=is_path(name), is_uri=is_uri is not None and is_uri(place))
            if rule:
                hits.append(Hit(TRAVERSAL, rule, place, is_name=False))
        if has_ssrf and (rule := ssrf.judge(value, is_called_url=is_url(name))):
            hits.append(Hit(SSRF, rule, place, is_name=False))
    return hits


def _name_of(place: Place) -> str:
    """The name of the argument: that of its list, for an item of one."""
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


_LEADING: Final = frozenset(b"/\\:%\0~\xef\xe2\xe3")
"""Marks that paths begin or go on with; the last are first bytes of full-width ones."""
