"""Drawn abdominal CT with kidneys and tumours."""
