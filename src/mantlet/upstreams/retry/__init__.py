"""A call that may be made again is, within a budget and its one deadline (RES-03)."""

from mantlet.upstreams.retry.budget import Budget
from mantlet.upstreams.retry.config import RetryConfig
from mantlet.upstreams.retry.idempotent import Annotations, Idempotent
from mantlet.upstreams.retry.retried import Retried

__all__ = ["Annotations", "Budget", "Idempotent", "Retried", "RetryConfig"]
