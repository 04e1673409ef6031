"""Methods of FleetClient, a module a subject; not for use alone."""
