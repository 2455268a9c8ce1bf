from tests.upstreams.transports.peers import uvloop_only

pytest_asyncio_loop_factories = uvloop_only
