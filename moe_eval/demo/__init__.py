"""`moe-eval demo`: a page to talk with models about a picture, and to see which experts their tokens take."""
