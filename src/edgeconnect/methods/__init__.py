"""One file for each published method, and the catalogue that names them."""
