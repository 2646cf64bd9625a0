"""Certificates: loaded from files and stores, and used to sign client assertions."""
