"""The local cloud and the `prodai` command; never deployed."""
