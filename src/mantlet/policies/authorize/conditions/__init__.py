"""`when:` of a rule: an expression in CEL over the caller, the arguments, the time and the address."""

from mantlet.policies.authorize.conditions.condition import Condition, ConditionError, compile_condition
from mantlet.policies.authorize.conditions.facts import Facts

__all__ = ["Condition", "ConditionError", "Facts", "compile_condition"]
