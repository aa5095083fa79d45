"""`sidechain demo`: everything at once, on real parts, with the proof at the end."""
