"""Words that give orders to a model, where there should be data (TOOL-03, LLM01).

Marks, not understanding: what is worded differently passes, so this is a warning bell and no wall. Every pattern is an
anchor of fixed words; what must stand near it is looked for in a window behind it, so the time is linear.
"""

import re
import unicodedata
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

WINDOW: Final = 90
"""Characters behind an anchor in which its object must stand: a sentence, not a page."""
MAX_ANCHORS: Final = 2_000
"""Anchors looked at in one text. A text with more is nothing but anchors, and is said to be suspect."""

_ANCHOR: Final = re.compile(
    r"(?P<marker><\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|begin_of_text)\|>"
    r"|\[/?INST\]|<</?SYS>>|</?(?:important|system|system_prompt|instructions?|admin|override)>"
    r"|</(?:tool_result|tool_output|function_results|user_input|untrusted)>"
    r"|(?:^|\n)#{0,4} ?(?:system|assistant|new instructions?|instruction)(?: prompt| message| override)?:)"
    r"|\b(?P<override>ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|do not follow|don't follow"
    r"|stop following|discard|neglect|skip)\b"
    r"|\b(?P<role>you are now|you're now|from now on|act as|pretend (?:to be|you are|that you)|you must now"
    r"|your new (?:task|instructions?|role|goal|objective)|roleplay as|switch to|enter|enable|simulate"
    r"|new (?:instructions?|task|objective) (?:for you|is|are)\b)"
    r"|\b(?P<secrecy>(?:do not|don't|never|without)"
    r" (?:tell|mention|inform|reveal|notify|disclos|alert|ask|let|show|say)"
    r"|keep (?:this|it) (?:secret|hidden|confidential)|(?:the )?user (?:must|should|need|does) not )"
    r"|\b(?P<leak>reveal|print|repeat|output|show me|tell me|display|leak|exfiltrate|send|forward|upload|post|email"
    r"|include|append|read|cat|pass|provide|share|summari[sz]e)\b"
    r"|\b(?P<tool>(?:before|when|after|whenever|prior to) (?:using|calling|invoking|you (?:use|call)|running)"
    r"|you (?:must|should|need to|have to) (?:first |also |always |immediately )?(?:call|use|invoke|run|execute|read)"
    r"|instead of (?:using|calling))\b",
    re.IGNORECASE,
)

_OBJECT: Final = {
    "override": re.compile(
        r"\b(?:(?:all|any|the|your|my|these|those|previous|prior|preceding|above|earlier|former|foregoing|existing|original"
        r"|initial|system|safety|other|given|of|to|and|everything) ?){1,6}"
        r"(?:instruct\w*|prompts?|rules|directions|directives?|guidelines|guidance|commands|constraints|restrictions"
        r"|policies|orders|programming|said|told|above|before)\b",
        re.IGNORECASE,
    ),
    "role": re.compile(
        r"\b(?:dan|jailbr\w*|unrestricted|unfiltered|uncensored|developer mode|god mode|admin(?:istrator)? mode"
        r"|debug mode|no (?:restrictions|rules|limits|filters?)|without (?:any )?(?:restrictions|rules|limits|filters?)"
        r"|evil|hacker|(?:a|an|my|the) (?:\w+ )?(?:assistant|ai|bot|model|persona|agent|terminal|interpreter)"
        r"|you (?:will|must|are|should)|ignore|is to|are)\b",
        re.IGNORECASE,
    ),
    "secrecy": re.compile(
        r"^\w*(?: \w+){0,3} ?(?:the user|the users|user|them about|anyone|him|her|this to|this instruction)\b"
        r"|^$|^ ?(?:from the user|be (?:told|informed|notified|aware))|know",
        re.IGNORECASE,
    ),
    "leak": re.compile(
        r"\b(?:system prompt|system message|(?:your|the|these|all|initial|original|hidden|previous|above) "
        r"(?:\w+ )?(?:instructions|prompt|guidelines|directives|rules)"
        r"|(?:conversation|chat) (?:history|log)|~/\.\w+|\.ssh|id_rsa|id_ed25519|\.env\b|mcp\.json"
        r"|/etc/(?:passwd|shadow)"
        r"|(?:your|the|all|any|user'?s?) (?:\w+ )?"
        r"(?:api[ _-]?keys?|passwords?|credentials|secrets|tokens|private keys?)"
        r"|environment variables)",
        re.IGNORECASE,
    ),
    "tool": re.compile(
        r"\b(?:this|that|any|other|another|the \w+|\w+_\w+) (?:tool|function|server|api)\b|\w+_\w+\("
        r"|~/\.|\.ssh|sidenote",
        re.IGNORECASE,
    ),
}


_RARE: Final = frozenset(
    b"ignore ignoring disregard disregarding forget override overriding bypass discard neglect pretend roleplay dan"
    b" exfiltrate jailbreak jailbroken jailbreaking unrestricted unfiltered uncensored credentials passwords ssh id_rsa"
    b" id_ed25519 passwd sidenote inst im_start im_end endoftext eot_id prompt prompts instructions instruction"
    b" directives guidelines act simulate secrets".split()
)
_PAIRS: Final = (
    (frozenset({b"user", b"users", b"anyone"}), frozenset(b"tell mention inform reveal notify know alert not".split())),
    (frozenset({b"tool", b"tools"}), frozenset(b"must should before instead have need".split())),
    (frozenset({b"you", b"your"}), frozenset(b"now new task mode system role".split())),
    (
        frozenset({b"reveal", b"leak", b"send", b"print", b"show"}),
        frozenset(b"key keys tokens history env shadow".split()),
    ),
    (frozenset({b"system", b"assistant", b"important", b"admin", b"override"}), frozenset({b"system", b"assistant"})),
)
"""What is common alone, and telling together."""
WORDS: Final = _RARE.union(*(word for pair in _PAIRS for word in pair), {b"important", b"tool_result"})


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    words = signs.words
    if not words and signs.marks.isdisjoint(b"<["):
        return not signs.marks.isdisjoint(_FOREIGN)
    if not _RARE.isdisjoint(words) or (signs.has("<") and (b"important" in words or b"tool_result" in words)):
        return True
    return any(not one.isdisjoint(words) and not other.isdisjoint(words) for one, other in _PAIRS) or (
        not signs.marks.isdisjoint(_FOREIGN)
    )


_FOREIGN: Final = frozenset({0xEF, 0xF0})
"""First bytes of full-width letters and of mathematical ones: words in them are not seen as words."""


def find(text: str) -> list[Finding]:
    """Orders to a model in `text`."""
    if not text.isascii():
        text = _plain(text)
    found: list[Finding] = []
    for count, anchor in enumerate(_ANCHOR.finditer(text)):
        if count == MAX_ANCHORS:
            found.append(Finding("prompt_injection.dense", anchor.start(), anchor.end()))
            break
        kind = anchor.lastgroup or ""
        start, end = anchor.span()
        if kind == "marker":
            found.append(Finding("prompt_injection.marker", start, end))
            continue
        behind = _OBJECT[kind].search(text[end : end + WINDOW])
        if behind is not None:
            found.append(Finding(f"prompt_injection.{kind}", start, end + behind.end()))
    return found


def _plain(text: str) -> str:
    """`text` in compatibility forms, character for character, so that places stay true."""
    if unicodedata.is_normalized("NFKC", text):
        return text
    return "".join(plain if len(plain := unicodedata.normalize("NFKC", char)) == 1 else char for char in text)
