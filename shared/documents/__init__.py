"""The documents in Firestore, typed records in and out: the only package that knows Firestore.

`as_user` acts with the user's own ID token, so that firestore.rules decide; `as_service` with the function's account.
"""
