"""Grading by a language model: the endpoint that is asked, what it said, and what that makes of a run."""
