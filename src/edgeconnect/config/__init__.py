"""The configuration: its keys (`sections`), their checks (`validators`), and its files (`file`)."""
