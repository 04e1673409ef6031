"""The methods of FleetClient, a module a subject."""
