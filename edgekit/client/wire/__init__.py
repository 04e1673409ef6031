"""Wire types of the management API under /api/v1: what people, CI and commands send and get.

Plain frozen dataclasses, a module a subject; the server's routes and the typed client share them.
Times are ISO 8601 in UTC. Errors come as `application/problem+json` (`server.Problem`).
"""
