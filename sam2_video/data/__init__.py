"""Videos in the layouts that exist, and the clips that training draws from them."""
