"""Small data sets that the project draws itself: no download, no licence, everything about a picture is known."""
