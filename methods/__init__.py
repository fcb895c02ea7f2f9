"""How it is learned: a method is a recipe of parts."""
