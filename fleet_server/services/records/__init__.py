"""What is stored, as frozen values. Where a rule needs them, they hold the domain's own types."""
