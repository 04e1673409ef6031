"""Storage: SQLAlchemy tables for facts and a folder for bundles. Decides nothing."""
