"""What a study found: tables, plots, pages."""
