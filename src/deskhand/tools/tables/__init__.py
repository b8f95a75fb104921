"""Tables in text form: what a CSV file means, found from the file alone and said where it is not certain."""
