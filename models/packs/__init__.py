"""The packs, and what is known of their domains; the only place with words of a domain."""
