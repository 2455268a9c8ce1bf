from tests.upstreams.transports.peers import both_loops

pytest_asyncio_loop_factories = both_loops
