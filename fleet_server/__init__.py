"""The fleet server: decides which device gets which release, watches, and goes back by itself."""
