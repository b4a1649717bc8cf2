"""The engine behind live painting."""
