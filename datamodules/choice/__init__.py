"""Which images a training sees: of which patients and classes, and which synthetic ones."""
