"""One layer: the skip-trigrams that its circuits hold, and the bugs that they force."""
