"""Certificates to sign in with: read from a file, and made into the proof that the token service asks for."""
