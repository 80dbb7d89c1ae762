"""Interactions, who has which items, made-up data; ``prepare`` makes RecBole's files of raw ones."""
