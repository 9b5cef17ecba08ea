"""The formats training data lies in, each read and written exactly; one file a format."""
