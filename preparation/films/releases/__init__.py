"""Public sets of chest films in the layout of their releases: tables, policies, views, splits."""
