"""Attacks and scores of the whole set that rest on distances between images."""
