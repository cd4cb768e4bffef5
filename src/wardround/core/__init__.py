"""Nouns that every other part speaks of: updates, contexts, messages. numpy only."""
