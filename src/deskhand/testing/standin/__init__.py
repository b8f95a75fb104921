"""The stand-in: a scripted program that answers like a model server, for the demo and for tests. Not a language model."""
