"""The device flow, as the device (RFC 8628)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.ops.login.asking import LoginError, post, why_not_safe
from mantlet.ops.login.issuer import Issuer

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_S: Final = 5.0
MAX_WAIT_S: Final = 1800.0


def by_device(
    issuer: Issuer,
    form: Mapping[str, str],
    *,
    show: Callable[[str, str, str], None],
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
) -> Mapping[str, Any]:
    """The issuer's answer with tokens. `show` tells a person (URL, code, URL with the code). Raises `LoginError`."""
    begun = post(issuer.device_endpoint, form)
    device_code, user_code, url = (begun.get(name) for name in ("device_code", "user_code", "verification_uri"))
    complete = begun.get("verification_uri_complete", "")
    if not all(isinstance(one, str) and one.isprintable() for one in (device_code, user_code, url, complete)):
        raise LoginError("the issuer gave no device code")
    if any(one and why_not_safe(one) for one in (url, complete)):
        raise LoginError("the issuer wants its user at a place that is not safe")
    ends_s = monotonic() + min(_number(begun.get("expires_in"), 600.0), MAX_WAIT_S)
    interval_s = max(1.0, _number(begun.get("interval"), 5.0))
    show(str(url), str(user_code), str(complete))
    while monotonic() < ends_s:
        sleep(interval_s)
        try:
            return post(
                issuer.token_endpoint,
                {"grant_type": GRANT, "device_code": str(device_code), "client_id": form["client_id"]},
            )
        except LoginError as refusal:
            if refusal.error == "slow_down":
                interval_s += SLOWER_S
            elif refusal.error != "authorization_pending":
                raise
    raise LoginError("nobody said yes in time", "expired_token")


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else default
