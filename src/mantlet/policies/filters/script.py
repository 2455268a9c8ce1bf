"""Script and active HTML in a text that a page, a console or a chat window may show (LLM05; OWASP CRS 941).

Only what runs: elements that load or run code, event handlers, script URLs. A `<b>` is no finding, nor is
`List<Object>`.
"""

from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_OPEN: Final = r"<[\s/\x00]{0,8}(?:[a-z]{1,12}:)?"
_EVENTS: Final = (
    r"(?:abort|activate|after|animation|auxclick|before|begin|blur|bounce|cached|canplay|change|click|close|contextmenu"
    r"|copy|cuechange|cut|dblclick|deactivate|drag|drop|durationchange|emptied|end|error|finish|focus|formdata"
    r"|fullscreen|gotpointer|hashchange|help|input|invalid|key|load|lostpointer|media|message|mouse|move|navigate"
    r"|offline|online|open|page|paste|pause|play|pointer|popstate|progress|property|ratechange|ready|repeat|reset"
    r"|resize|row|scroll|search|seek|select|show|slotchange|stalled|start|stop|storage|submit|suspend|time|toggle|touch"
    r"|transition|unhandledrejection|unload|volumechange|waiting|webkit|wheel|zoom|data|filter|cellchange|lose|undo"
    r"|redo|resume|reverse|orientation|snap|command)[a-z]{0,20}"
)
_VALUE: Final = r"[^\w\s=<>\x02\"'`(){}.]{0,40}[\s\x00]{0,8}=[\s\x00]{0,8}[^\s=>~\x02]"
_J: Final = r"\s{0,2}".join("javascript")
_WORDS: Final = rf"(?:{_J}|vbscript|livescript)\s{{0,2}}:"

RULES: Final = Rules(
    [
        Rule(
            "script.tag",
            rf"({_OPEN}(?:script|iframe|frameset|applet|isindex|xss|bgsound|ilayer))[^\w.:-]"
            rf"|({_OPEN}(?:object|embed|base|(?:vml)?frame|import|animate(?:transform|motion)?|handler|portal|layer"
            r"|foreignobject)[\s/\x00][^<>\x02]{0,200}=)"
            rf"|({_OPEN}meta[\s/\x00][^<>\x02]{{0,200}}http-equiv)"
            r"|(<!entity\s|<!--#(?:exec|include|set|echo|printenv|config)|<\?(?:xml-stylesheet|import)\s)",
        ),
        Rule(
            "script.handler",
            rf"<[a-z!/?][^<>\x02]{{0,400}}[\s\"'`/;\x00\x0b]on[a-z]{{3,25}}{_VALUE}"
            rf"|(?:[\"'`>][\s/;,)]{{0,8}}|\x02\s{{0,4}})on{_EVENTS}{_VALUE}",
        ),
        Rule(
            "script.url",
            rf"(?:[\"'`=(>]\s{{0,4}}|\x02){_WORDS}(?:[^\s\x02]|\s{{1,8}}\w{{1,30}}[(.=])"
            rf"|[\s,;:]{_WORDS}[a-z0-9_(/'\"`%&]"
            r"|[\s\"'`=(:,;>\x02]data:\s{0,4}(?:text/html|application/xhtml|(?:text"
            r"|application)/(?:x-)?(?:javascript|vbscript))",
        ),
        Rule(
            "script.call",
            r"[^\w.](?:alert|confirm"
            r"|prompt)[\s\x00]{0,4}[(`][\s\"'`/\\]{0,4}(?:\d{1,6}[\s\"'`/\\]{0,4}[)`]|xss|document[.\[]"
            r"|origin[)`]|location[.)])"
            r"|string\s?\.\s?fromcharcode\s?\(|-moz-binding\s?:|[:\s;\"'{]behavior\s?:\s?url"
            r"|:\s{0,4}expression\s?\(|[\s\"'/]srcdoc\s?=|[\s\"'/]formaction\s?=|\.constructor\s?\(\s?[\"'`]"
            r"|(?:top|self|window|parent|frames|globalthis)\s?\[\s?[\"'`/][a-z]{0,20}[\"'`/]\s?\+"
            r"|[^\w]document\s?\[\s?[\"'`]|[^\w]document\s?\.\s?(?:cookie|write)\s?[)\"'`;(+]",
        ),
    ]
)
find: Final = RULES.find
