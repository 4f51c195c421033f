"""A strict stand-in for Google Cloud Storage: the part of its JSON, upload and XML interfaces that the product uses.

What the real service refuses is refused here in the same words as far as they are known, and a parameter that is not
built answers 501 rather than being ignored. Nothing is authorised except signed URLs, as with Google's emulators.
"""
