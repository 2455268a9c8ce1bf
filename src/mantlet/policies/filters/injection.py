"""Words that give orders to a model, where there should be data (TOOL-03, LLM01).

Marks, not understanding: what is worded differently passes, so this is a warning bell and no wall.
"""

from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.folded import folded
from mantlet.policies.filters.rules import Rule, Rules

_ANY: Final = (
    r"(?:all|any|the|your|my|these|those|this|previous|prior|preceding|above|earlier|former|foregoing|existing|original"
    r"|initial|system|safety|other|given|of|to|and|everything|every)"
)
_ORDERS: Final = (
    r"(?:instructions?|prompts?|rules|directions|directives?|guidelines|guidance|commands|constraints|restrictions"
    r"|policies|orders|programming|training|protocols)"
)

RULES: Final = Rules(
    [
        Rule(
            "prompt_injection.marker",
            r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|begin_of_text)\|>"
            r"|\[/?INST\]|<</?SYS>>|</?(?:important|system_prompt|system_instructions?|admin_override)>"
            r"|</(?:tool_result|tool_output|function_results|user_input|untrusted)>"
            r"|[\x02\n]#{0,4} ?(?:new instructions?|system (?:prompt|message|override))\s{0,2}:",
        ),
        Rule(
            "prompt_injection.override",
            rf"[^a-z](?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|discard|neglect"
            rf"|do not follow|don't follow"
            rf"|stop following)\s{{1,4}}(?:{_ANY}\s{{1,3}}){{1,7}}(?:\w{{1,16}}\s{{1,3}})?{_ORDERS}[^a-z]"
            rf"|[^a-z](?:ignore|disregard|forget)\s{{1,4}}(?:everything|all|anything"
            rf"|what)\s{{1,3}}(?:{_ANY}\s{{1,3}}){{0,3}}(?:above|before"
            r"|previously|said|told|you (?:know|were|have been))"
            r"|[^a-z](?:ignore|disregard|forget)\s{1,4}(?:the\s)?(?:above|previous|prior)\s{1,3}(?:and|text"
            r"|context|conversation|message)",
        ),
        Rule(
            "prompt_injection.role",
            r"[^a-z](?:you are now|you're now|from now on,? you|you will now|pretend (?:to be|you are"
            r"|that you are)|roleplay as)"
            r"\s{1,3}[^\x02]{0,60}?(?:DAN|jailbr|unrestricted|unfiltered|uncensored|no (?:restrictions|rules"
            r"|limits|filters?)|without"
            r" (?:any )?(?:restrictions|rules|limits|filters?)|evil|hacker|(?:an?|my) \w{1,16} (?:assistant|ai|bot"
            r"|model|agent|terminal))"
            r"|[^a-z](?:developer|god|admin(?:istrator)?|debug|dan|jailbreak) mode (?:enabled|on|activated|output)"
            r"|[^A-Za-z]DAN[^A-Za-z][^\x02]{0,60}?do anything now|[^a-z]do anything now[^a-z]"
            r"|[^a-z]your new (?:task|instructions?|role|goal|objective) (?:is|are)[^a-z]|[^a-z]stay in character",
        ),
        Rule(
            "prompt_injection.character",
            r"[^a-z](?:you(?:'re| are| will| must| should| shall| can)|i want you|i need you|chatgpt|assistant)"
            r"(?: (?:now|always|only|going|to|be|will|should|must)){0,4} (?:act(?:ing)?|behav(?:e|ing)"
            r"|respond(?:ing)?|reply(?:ing)?"
            r"|answer(?:ing)?|role ?-?play(?:ing)?|pretend(?:ing)?|simulat(?:e|ing)|impersonat(?:e|ing)|embody"
            r"|portray(?:ing)?"
            r"|play(?:ing)? the (?:role|character|part))\s(?:as|like|to be|that|the|a|an|of|with|to|only|my|me)[^a-z]"
            r"|[^a-z](?:from now(?: on)?|starting now|for the rest of (?:this|our) (?:chat|conversation))[,:]?"
            r"(?: chatgpt,?)? (?:you|i want you|we|your)[^a-z]"
            r"|[^a-z](?:in|into|out of|break(?:ing)?|stay(?:ing)? in) character[^a-z]"
            r"|[^a-z](?:respond|reply|answer) (?:to|for) (?:every|all|any|each) (?:prompts?|questions?|messages?"
            r"|inputs?)"
            r"|[^a-z](?:never|not|don't|dont|cannot|can't|without) (?:ever )?(?:refus(?:e|ing)|declin(?:e|ing)"
            r"|reject(?:ing)?"
            r"|say(?:ing)? no|censor(?:ing)?|moraliz(?:e|ing)|lectur(?:e|ing))[^a-z]"
            r"|[^a-z](?:jail ?-?br(?:eak|oken)|unfilt(?:e)?red|uncensored|amoral|unethical|(?:no|any|without"
            r"|bypass|disregards?|beyond)"
            r" (?:morals?|ethics|ethical|moral|censorship))[^a-z][^\x02]{0,120}?(?:[^a-z](?:ai|gpt|chatgpt|llm"
            r"|chatbot|assistant|model|character|prompt)[^a-z])"
            r"|[^a-z](?:ai|chatgpt|gpt-?[345]|llm|chatbot"
            r"|language model)[^a-z][^\x02]{0,120}?[^a-z](?:jail ?-?br(?:eak|oken)|unfilt(?:e)?red|uncensored"
            r"|amoral|unrestricted|no (?:restrictions|filters?|limits|ethics|morals?)|(?:not|isn't"
            r"|aren't) (?:bound|restricted|limited|constrained) by)[^a-z]"
            r"|[^a-z](?:openai|chatgpt|anthropic)(?:'s|s)? (?:content |usage |safety )?(?:polic(?:y|ies)"
            r"|guidelines|restrictions|rules|filters?)[^a-z]",
        ),
        Rule(
            "prompt_injection.halt",
            r"[^a-z](?:stop|halt|abort|cease)\s(?:everything|all (?:tasks?|processing))[^\x02]{0,60}?(?:print|say"
            r"|output|write|repeat)[^a-z]",
        ),
        Rule(
            "prompt_injection.secrecy",
            r"[^a-z](?:do not|don't|never|without)\s{1,3}(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?"
            r"|reveal(?:ing)?|notify(?:ing)?"
            r"|disclos(?:e|ing)|alert(?:ing)?|let(?:ting)?|show(?:ing)?)\s[^\x02.]{0,30}?(?:the users?|to users?"
            r"|user know|anyone)[^a-z]"
            r"|[^a-z]keep (?:this|it) (?:secret|hidden|confidential)|user (?:must|should) not (?:know|be (?:told"
            r"|informed|aware))",
        ),
        Rule(
            "prompt_injection.leak",
            r"[^a-z](?:reveal|print|repeat|output|show|tell|display|leak|exfiltrate|send|forward|upload|give"
            r"|provide|share|paste|put|list|dump|expose|translate|encode|summari[sz]e|copy|write|what (?:is|are"
            r"|was|were))"
            r"\s[^\x02]{0,40}?(?:system (?:prompt|message)|(?:your|the) (?:prompt|configuration) (?:here|verbatim"
            r"|for)|verbatim from your|(?:your|initial|original|hidden|previous|above"
            r"|secret) (?:\w{1,16} )?(?:instructions|prompt|guidelines|directives)"
            r"|(?:instructions|prompt|words|text|everything) above)[^a-z]"
            r"|[^a-z](?:send|forward|upload|post|exfiltrate|pass|read|cat|include"
            r"|append)\s[^\x02]{0,60}?(?:~/\.(?:ssh|aws|cursor|config)|id_rsa|id_ed25519"
            r"|mcp\.json|/etc/(?:passwd|shadow)|(?:conversation|chat) (?:history|log)|(?:user'?s?|your"
            r"|all) (?:\w{1,16} )?(?:api[ _-]?keys?|passwords|credentials|private keys?))",
        ),
        Rule(
            "prompt_injection.tool",
            r"[^a-z](?:before|when|after|whenever|prior to)\s(?:using|calling|invoking|running|you (?:use"
            r"|call))\s(?:this|any|other|another|the)\s(?:\w{1,40}\s)?tools?"
            r"[^\x02]{0,60}?(?:must|should|first|always|read|call|send|pass)[^a-z]"
            r"|[^a-z]you (?:must|should|need to|have to) (?:first |also |always |immediately )?(?:call|use|invoke"
            r"|run) the (?:other|\w{1,40}) tool[^a-z]"
            r"|[^a-z]instead of (?:using|calling) (?:the|this|that) (?:\w{1,40} )?tool[^a-z]|[^a-z]sidenote[^a-z]",
        ),
    ]
)


def find(text: str) -> list[Finding]:
    """Orders to a model in `text`; full-width and other disguised letters count as what they look like."""
    return RULES.find(folded(text))
