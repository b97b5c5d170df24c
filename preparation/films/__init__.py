"""Chest films."""
