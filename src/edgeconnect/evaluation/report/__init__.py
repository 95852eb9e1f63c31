"""The report of an evaluation: tables, curves, pictures, one HTML page."""
