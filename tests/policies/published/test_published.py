import json

import pytest
from tests.policies.support import Onward, arrival

from mantlet.core.refusal import MethodNotAllowed, NotFound
from mantlet.policies.published.policy import Published

ROOT = "/.well-known/oauth-protected-resource"


def published(url: str = "https://node.example") -> Published:
    return Published(url, ["/mcp", "/mcp/one"], ["https://idp.example"])


@pytest.mark.parametrize(
    ("url", "path", "resource"),
    [
        ("https://node.example", f"{ROOT}/mcp", "https://node.example/mcp"),
        ("https://node.example/", f"{ROOT}/mcp/one", "https://node.example/mcp/one"),
        ("https://node.example/base", f"{ROOT}/base/mcp", "https://node.example/base/mcp"),
    ],
)
async def test_the_metadata_of_a_resource_stands_where_rfc_9728_says(url: str, path: str, resource: str) -> None:
    onward = Onward()
    answer = await published(url)(arrival(path=path, verb="GET", caller=None), onward)
    document = json.loads(answer.body)  # type: ignore[arg-type]
    assert document == {
        "resource": resource,
        "bearer_methods_supported": ["header"],
        "authorization_servers": ["https://idp.example"],
    }
    assert onward.reached == []


@pytest.mark.parametrize(
    "path", [ROOT, f"{ROOT}/", f"{ROOT}/mcp/", f"{ROOT}/mcp/two", f"{ROOT}/MCP", f"{ROOT}/mcp/one/.."]
)
async def test_a_document_that_is_not_listed_is_not_there(path: str) -> None:
    """OAUTH-01: 404, not 401."""
    onward = Onward()
    with pytest.raises(NotFound):
        await published()(arrival(path=path, verb="GET", caller=None), onward)
    assert onward.reached == []


@pytest.mark.parametrize(
    "path", ["/mcp", "/", "/.well-known", "/.well-known/", f"{ROOT}x", f"/x{ROOT}/mcp", ROOT.upper()]
)
async def test_everything_else_goes_on_to_be_authenticated(path: str) -> None:
    """AUTHN-01"""
    onward = Onward()
    await published()(arrival(path=path, verb="GET", caller=None), onward)
    assert len(onward.reached) == 1


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "HEAD"])
async def test_a_document_can_only_be_read(verb: str) -> None:
    with pytest.raises(MethodNotAllowed):
        await published()(arrival(path=f"{ROOT}/mcp", verb=verb, caller=None), Onward())


async def test_one_readers_headers_are_not_anothers() -> None:
    policy = published()
    first = await policy(arrival(path=f"{ROOT}/mcp", verb="GET"), Onward())
    first.headers.append((b"x-mine", b"1"))
    assert (await policy(arrival(path=f"{ROOT}/mcp", verb="GET"), Onward())).header(b"x-mine") is None
