"""Try the package without any data of your own."""
