"""Which of several endpoints a call goes to. Pure."""

from mantlet.upstreams.balance.config import BalancedConfig, EndpointConfig
from mantlet.upstreams.balance.pickers import Candidate, Picker, make_picker

__all__ = ["BalancedConfig", "Candidate", "EndpointConfig", "Picker", "make_picker"]
