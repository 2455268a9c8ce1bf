"""What is known of one endpoint, and whether calls may go to it. Pure: what happened goes in with its time, a state and
its reasons come out.

    starting   nothing is known yet; used where nothing better is there
    healthy    used
    degraded   used, and in doubt: a probe failed, calls fail, or it is on trial after it was left alone
    unhealthy  not used: `fall` probes in a row failed, or too many calls (an outlier, left alone for a while)
    draining   no new calls; sessions that live there go on until the time given for that is over
    stopped    not used at all: drained, or closed

Probes and calls are two witnesses. Probes alone can say that an endpoint is gone; calls that fail set it aside for a
time, because a server that answers probes may still fail at its work. What late answers of an earlier state say
(RES-01) does not count: of an endpoint that is not used, calls say nothing any more.
"""

from dataclasses import dataclass
from typing import Final, Literal

from mantlet.upstreams.health.config import HealthConfig, OutlierConfig
from mantlet.upstreams.health.warming import share

State = Literal["starting", "healthy", "degraded", "unhealthy", "draining", "stopped"]
STATES: Final[tuple[State, ...]] = ("starting", "healthy", "degraded", "unhealthy", "draining", "stopped")
USED: Final = frozenset({"starting", "healthy", "degraded"})
FORGIVEN_AFTER: Final = 10
"""An endpoint that kept so many times its first ejection without another has none on its record."""
MAX_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """What a `Health` goes by. Without `fall` nobody probes."""

    fall: int = 0
    rise: int = 1
    failures: int = 0
    ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    slow_start_s: float = 0.0


def terms(health: HealthConfig | None, outlier: OutlierConfig, slow_start_s: float) -> Terms:
    """As the operator wrote them."""
    return Terms(
        fall=0 if health is None else health.fall,
        rise=1 if health is None else health.rise,
        failures=outlier.failures,
        ejection_s=outlier.ejection,
        max_ejection_s=outlier.max_ejection,
        slow_start_s=slow_start_s,
    )


class Health:
    """Of one endpoint. Times are on one monotonic clock. Each event gives whether `state` became another."""

    __slots__ = (
        "_drained_s",
        "_ejected_until_s",
        "_ejections",
        "_failed",
        "_failures",
        "_fell",
        "_is_closed",
        "_is_down",
        "_is_tried",
        "_probed",
        "_returned_s",
        "_rose",
        "_terms",
        "_unreached",
        "_warm_s",
        "is_quiet",
        "reasons",
        "state",
    )  # fmt: skip

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._fell = self._rose = 0
        """Probes in a row that failed, or succeeded."""
        self._is_down = False
        """What probes say."""
        self._probed = ""
        """Why the last one failed."""
        self._failures = 0
        """Calls in a row that failed."""
        self._failed = ""
        self._unreached = False
        """No connection could be made, last time."""
        self._ejections = 0
        self._ejected_until_s: float | None = None
        self._is_tried = False
        """It is back, and the next call decides."""
        self._returned_s = -float("inf")
        self._warm_s: float | None = None
        self._drained_s: float | None = None
        """When draining is over."""
        self._is_closed = False
        self.state: State = "starting"
        self.reasons: tuple[str, ...] = ()
        self.is_quiet = False
        """Nothing is in doubt: a call that succeeds has nothing to say."""

    @property
    def is_used(self) -> bool:
        """Whether new calls may go there."""
        return self.state in USED

    @property
    def is_ejected(self) -> bool:
        """Whether it is set aside because of its calls."""
        return self._ejected_until_s is not None

    @property
    def is_gone(self) -> bool:
        """Whether sessions that live there are lost: it is stopped, probes do not reach it, or calls do not."""
        return self.state == "stopped" or (self.state == "unhealthy" and (self._is_down or self._unreached))

    @property
    def is_watched(self) -> bool:
        """Whether time alone may change something: `tick` is wanted."""
        return self.is_ejected or self._warm_s is not None or self.state == "draining"

    def weight_share(self, now_s: float) -> float:
        """The part of its weight that it has while it warms up."""
        return 1.0 if self._warm_s is None else share(now_s - self._warm_s, self._terms.slow_start_s)

    # --- witnesses

    def probe_ok(self, now_s: float) -> bool:
        """A probe succeeded."""
        self._fell, self._probed = 0, ""
        self._rose += 1
        if self._is_down and self._rose >= self._terms.rise:
            self._is_down = False
            self._back(now_s)
        if self._ejected_until_s is not None and self._unreached and self._rose >= self._terms.rise:
            self._ejected_until_s = None  # it could not be reached, and now it is: time has nothing to add
            self._try(now_s)
        return self._settle(is_known=True)

    def probe_failed(self, why: str, now_s: float) -> bool:
        """A probe failed."""
        self._rose = 0
        self._fell += 1
        self._probed = why[:MAX_REASON_CHARACTERS]
        if self._fell >= self._terms.fall:
            self._is_down = True
            self._warm_s = None
        return self._settle()

    def call_ok(self) -> bool:
        """A call succeeded. Nothing has to be said while `is_quiet`."""
        if self.state == "unhealthy":
            return False
        self._failures, self._failed, self._unreached, self._is_tried = 0, "", False, False
        return self._settle(is_known=True)

    def call_failed(self, why: str, now_s: float, *, unreached: bool, may_eject: bool) -> bool:
        """A call failed by its fault; `may_eject` says whether the others can do without it."""
        if self.state == "unhealthy":
            return False
        terms = self._terms
        self._failures += 1
        self._failed, self._unreached = why[:MAX_REASON_CHARACTERS], unreached
        if terms.failures and may_eject and (self._is_tried or self._failures >= terms.failures):
            if now_s - self._returned_s > FORGIVEN_AFTER * terms.ejection_s:
                self._ejections = 0
            self._ejections += 1
            self._ejected_until_s = now_s + min(terms.max_ejection_s, terms.ejection_s * self._ejections)
            self._is_tried, self._warm_s, self._rose = False, None, 0
        return self._settle()

    def tick(self, now_s: float) -> bool:
        """Time passes."""
        if self._ejected_until_s is not None and now_s >= self._ejected_until_s:
            self._ejected_until_s = None
            self._try(now_s)
        if self._warm_s is not None and now_s - self._warm_s >= self._terms.slow_start_s:
            self._warm_s = None
        if self._drained_s is not None and now_s >= self._drained_s:
            self._is_closed, self._drained_s = True, None
        return self._settle()

    # --- orders

    def drain(self, until_s: float) -> bool:
        """Take no new calls; at `until_s` it is stopped."""
        if not self._is_closed:
            self._drained_s = until_s
        return self._settle()

    def undrain(self, now_s: float) -> bool:
        """Take calls again, slowly at first."""
        if self._drained_s is None and not self._is_closed:
            return False
        self._drained_s, self._is_closed = None, False
        self._back(now_s)
        return self._settle(is_known=self._terms.fall == 0)

    def stop(self) -> bool:
        """It is closed, and stays so unless `undrain` says otherwise."""
        self._is_closed, self._drained_s = True, None
        return self._settle()

    # --- conclusions

    def _try(self, now_s: float) -> None:
        self._is_tried, self._returned_s = True, now_s
        self._failures = 0
        self._back(now_s)

    def _back(self, now_s: float) -> None:
        if self._terms.slow_start_s:
            self._warm_s = now_s

    def _settle(self, *, is_known: bool = False) -> bool:
        before = self.state
        self.state = self._judged(is_known or before not in ("starting", "stopped"))
        self.reasons = tuple(self._reasons())
        self.is_quiet = self.state == "healthy" and not self._failures
        return self.state != before

    def _judged(self, is_known: bool) -> State:
        if self._is_closed:
            return "stopped"
        if self._drained_s is not None:
            return "draining"
        if self._is_down or self._ejected_until_s is not None:
            return "unhealthy"
        if not is_known:
            return "starting"
        if self._fell or self._is_tried or (self._terms.failures and self._failures >= self._terms.failures):
            return "degraded"
        return "healthy"

    def _reasons(self) -> list[str]:
        said = []
        if self._drained_s is not None:
            said.append("drained by an operator")
        if self._is_closed:
            said.append("stopped")
        if self._fell:
            said.append(f"probe: {self._probed} ({self._fell} in a row)")
        elif self._is_down:
            said.append(f"probes succeed again ({self._rose} in a row)")
        if self._ejected_until_s is not None:
            said.append(f"left alone for the {_ordinal(self._ejections)} time: {self._failed}")
        elif self._is_tried:
            said.append("on trial after it was left alone")
        elif self._failures:
            said.append(f"calls: {self._failed} ({self._failures} in a row)")
        return said


def _ordinal(count: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(count, f"{count}th")
