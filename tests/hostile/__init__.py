"""Input from strangers: nothing that a file says hangs, crashes, fills memory or runs."""
