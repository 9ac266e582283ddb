"""What answers are worth: read from wherever they are, scored by their task, told in text."""
