"""`moe-eval view`: a local page that follows runs as they go. It only ever reads what runs write."""
