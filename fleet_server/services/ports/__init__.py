"""What the use cases need of the outside: small protocols, implemented by fleet_server.store."""
