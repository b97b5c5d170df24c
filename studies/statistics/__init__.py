"""Scores, differences, tests."""
