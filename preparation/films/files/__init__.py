"""Files of films in a folder."""
