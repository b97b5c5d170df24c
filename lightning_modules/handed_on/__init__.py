"""Generators that were handed on without what tells of patients."""
