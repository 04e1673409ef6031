"""A fleet of devices in one process: the agent's own transport, protocol and state table, no model.

    device    one simulated device: the state table, with steps that only pretend to run something
    fleet     thousands of them as asyncio tasks over a few threads; what came of it, counted
    command   `edgekit simulate`

Signatures are not checked and nothing is inferred; bytes are downloaded and their digest is.
"""
