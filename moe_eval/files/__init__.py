"""Reading and writing files so that an error names its place and nothing is left half written."""
