"""The agent on a device: installs safely, infers, tells the truth, goes back by itself.

Imports edgekit's core only. The agent's main process loads no inference runtime and no tuf: models
run in worker processes, trust is verified in a short-lived one.
"""
