"""Files of the original systems into ours, once; and networks out of either."""
