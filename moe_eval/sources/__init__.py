"""Where samples come from: what several tasks share to read data folders and the Hugging Face hub."""
