"""HTTP around the services: parse, call one service, answer. Decides nothing."""
