"""The inference process: loads one verified bundle, answers, records. One process a bundle."""
