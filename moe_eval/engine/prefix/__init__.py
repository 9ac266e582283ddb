"""The prefix engine: what the questions about a picture share is computed once (`docs/engine.md`)."""
