"""Typed client of the fleet server's management API, for the commands and for your own scripts."""
