"""The networks of each published method, one file a method, and the feature networks that losses measure with."""
