"""The device flow (RFC 8628): a program without a browser shows a code, and its user says yes elsewhere (OAUTH-06)."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, LimitStore
from mantlet.core.refusal import GrantRefused, MethodNotAllowed
from mantlet.policies.authorization_server.clients import Client, Clients
from mantlet.policies.authorization_server.config import DeviceConfig
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.authorization_server.documents import DEVICE
from mantlet.policies.authorization_server.grant import grant_of, scopes_of
from mantlet.policies.authorization_server.issuing import Issuing
from mantlet.policies.authorization_server.pending import (
    Decision,
    DeviceRequest,
    Pending,
    new_user_code,
    shown,
    user_code_of,
)
from mantlet.policies.authorization_server.token import PRIVATE, GrantType
from mantlet.policies.away.logins import Logins
from mantlet.policies.pages import pages
from mantlet.policies.pages.form import needed, parameters, read_form
from mantlet.wire import jsonrpc

TRIES_WINDOW_S: Final = 300.0
PURPOSE: Final = "device"
_WARNING: Final = (
    "Allow this only if you started it yourself, on a device or program that you have before you. "
    "Somebody who sent you this code or link would act in your name."
)


class _Asked(msgspec.Struct, frozen=True):
    name: str
    user_code: str


class DeviceFlow:
    """The device asks for codes, the user decides on a page, the device asks for tokens until it has them."""

    def __init__(
        self,
        config: DeviceConfig,
        clients: Clients,
        issuing: Issuing,
        pending: Pending,
        consents: Consents,
        limits: LimitStore,
        clock: Clock,
        *,
        public_url: str,
        network_of: Callable[[str], tuple[str, ...]],
        logins: Logins | None = None,
    ) -> None:
        self._config, self._clients, self._issuing = config, clients, issuing
        self._pending, self._consents, self._limits, self._wall = pending, consents, limits, clock.wall
        self._page_url = public_url.rstrip("/") + DEVICE
        self._network_of, self._logins = network_of, logins
        if logins is not None:
            logins.on_return(PURPOSE, self._logged_in)

    async def begin(self, arrival: Arrival) -> Reply:
        """The device's first request (section 3.1)."""
        if arrival.verb != "POST":
            raise MethodNotAllowed("POST")
        form = await read_form(arrival)
        client = await self._clients.of_request(arrival, form)
        if client.caller is not None:
            raise GrantRefused("unauthorized_client", "A client with a secret of its own needs no user.")
        arrival.trail.credential = client.id[:256]
        asked = scopes_of(form.get("scope"))
        device_code = secrets.token_urlsafe(32)
        request = DeviceRequest(
            client_id=client.id,
            scopes=None if asked is None else tuple(sorted(asked)),
            audience=self._issuing.audience_of(form.get("resource")),
            ends_at_s=self._wall() + self._config.life,
            user_code=new_user_code(),
        )
        while not await self._pending.put_device(device_code, request, self._config.life):
            request = msgspec.structs.replace(request, user_code=new_user_code())
        told = {
            "device_code": device_code,
            "user_code": shown(request.user_code),
            "verification_uri": self._page_url,
            "verification_uri_complete": f"{self._page_url}?user_code={shown(request.user_code)}",
            "expires_in": self._config.life,
            "interval": self._config.interval,
        }
        return Reply(200, list(PRIVATE), jsonrpc.encode(told), origin="node")

    async def page(self, arrival: Arrival) -> Reply:
        """The user's side (section 3.3)."""
        try:
            if arrival.verb == "GET":
                code = parameters(arrival.query).get("user_code", "")
                # Shown and not taken: whoever followed a link still sees what they are doing (section 5.4).
                known = user_code_of(code)
                return pages.ask_code(DEVICE, "" if known is None else shown(known))
            if arrival.verb != "POST":
                raise MethodNotAllowed("GET, POST")
            form = await read_form(arrival)
            return await (self._decided(arrival, form) if "ticket" in form else self._typed(arrival, form))
        except GrantRefused as refusal:
            arrival.trail.notes["refused"] = refusal.error
            return pages.problem(refusal.detail)

    async def _typed(self, arrival: Arrival, form: Mapping[str, str]) -> Reply:
        charge = Charge(
            ("oauth", "user_code", *self._network_of(arrival.peer)), self._config.tries, TRIES_WINDOW_S, "user_code"
        )
        if not (await self._limits.take([charge])).allowed:
            return pages.problem("Too many codes were tried from here. Wait five minutes.", 429)
        code = user_code_of(form.get("user_code", ""))
        found = None if code is None else await self._pending.device_of(code)
        if found is None or code is None:
            return pages.ask_code(DEVICE, error="This code is unknown, too old, or was used.")
        return await self._ask(found[0], found[1])

    async def _ask(self, name: str, request: DeviceRequest, error: str = "") -> Reply:
        client = await self._clients.public(request.client_id)
        ticket, cookie = self._consents.offer(_Asked(name, request.user_code))
        return pages.consent(
            DEVICE,
            ticket,
            facts=[
                ("Program", client.name),
                ("Known here as", client.id),
                ("Code on the device", shown(request.user_code)),
                ("Wants access to", request.audience),
                ("With the rights", rights_of(client, request.scopes)),
            ],
            warning=_WARNING,
            cookie=cookie,
            error=error,
            places=[] if self._logins is None else [place.name for place in self._logins.places()],
        )

    async def _decided(self, arrival: Arrival, form: Mapping[str, str]) -> Reply:
        asked = await self._consents.take(arrival, form["ticket"], _Asked)
        name, request = await self._waiting(asked)
        if self._logins is not None and "login" in form:
            return await self._logins.away(arrival, form["login"], PURPOSE, msgspec.msgpack.encode(asked))
        if form.get("decision") != "allow":
            await self._pending.decide(name, Decision(), self._config.life)
            return pages.done("Access was denied. You can close this page.")
        user = await self._consents.user(arrival, form.get("api_key"))
        if user is None:
            return await self._ask(name, request, error="This key was not accepted.")
        return await self._allowed(arrival, name, request, user)

    async def _logged_in(self, arrival: Arrival, user: Caller, raw: bytes) -> Reply:
        """They allowed it before they were sent to log in, in this very browser."""
        name, request = await self._waiting(msgspec.msgpack.decode(raw, type=_Asked))
        return await self._allowed(arrival, name, request, user)

    async def _waiting(self, asked: _Asked) -> tuple[str, DeviceRequest]:
        found = await self._pending.device_of(asked.user_code)
        if found is None or found[0] != asked.name:
            raise GrantRefused("expired_token", "This code is too old, or was used.")
        return found

    async def _allowed(self, arrival: Arrival, name: str, request: DeviceRequest, user: Caller) -> Reply:
        arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
        client = await self._clients.public(request.client_id)
        scopes = given_scopes(client, request.scopes, user.scopes)
        life_s = 0.0 if self._logins is None else self._logins.life_s(user.issuer)
        grant = grant_of(user, client.id, scopes, request.audience, client.roles, life_s)
        if not await self._pending.decide(name, Decision(grant=grant), self._config.life):
            raise GrantRefused("expired_token", "This code was used.")
        arrival.trail.notes["consent"] = client.id[:256]
        return pages.done("Access was allowed. You can close this page and go back to your device.")

    def redeem(self) -> GrantType:
        """The grant type for the token endpoint (sections 3.4 and 3.5)."""

        async def grant(arrival: Arrival, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
            device_code = needed(form, "device_code")
            request = await self._pending.device(device_code)
            if request is None or self._wall() >= request.ends_at_s:
                raise GrantRefused("expired_token")
            if request.client_id != client.id:
                raise GrantRefused("invalid_grant", why="a device code of another client")
            if not await self._pending.may_ask(device_code, self._config.interval, self._config.life):
                raise GrantRefused("slow_down")
            decision = await self._pending.decision(device_code)
            if decision is None:
                raise GrantRefused("authorization_pending")
            if decision.grant is None:
                raise GrantRefused("access_denied")
            if not await self._pending.spend(device_code, self._config.life):
                raise GrantRefused("invalid_grant", why="a device code that was redeemed before")
            return await self._issuing.log_in(decision.grant, arrival.trail)

        return grant


def given_scopes(client: Client, asked: tuple[str, ...] | None, held: frozenset[str]) -> frozenset[str]:
    """What is asked for, of what the client may have, of what the user has (AUTHZ-06)."""
    given = held if client.scopes is None else held & frozenset(client.scopes)
    return given if asked is None else given & frozenset(asked)


def rights_of(client: Client, asked: tuple[str, ...] | None) -> str:
    """For the page: what tokens will carry at most."""
    if asked is not None:
        scopes = ", ".join(asked)
    else:
        scopes = "all your scopes" if client.scopes is None else ", ".join(client.scopes)
    roles = ", ".join(client.roles) or "none"
    return f"scopes: {scopes or 'none'}; roles, as far as you have them: {roles}"
