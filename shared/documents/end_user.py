"""Google's Firestore client with the end user's own ID token in each call.

google-cloud-firestore offers no way to send an end user's token, so the metadata of its calls is replaced. That uses
private attributes: the version is pinned, and a test keeps that a denied write is denied.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1 import DocumentSnapshot, _helpers
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

from shared.settings import settings


@cache
def _api() -> FirestoreClient:
    import grpc

    emulator = settings().firestore_emulator_host
    host = emulator or "firestore.googleapis.com:443"
    channel = grpc.insecure_channel(host) if emulator else grpc.secure_channel(host, grpc.ssl_channel_credentials())
    return FirestoreClient(transport=FirestoreGrpcTransport(host=host, channel=channel))


class EndUserClient(firestore.Client):
    """All of them share one channel."""

    def snapshot(self, path: str, deadline_s: float) -> DocumentSnapshot[Any]:
        """The document at a path, there or not, by a call with one answer.

        `DocumentReference.get` opens a stream of answers for it and takes half as long again of the processor.
        """
        reference = self.document(path)
        request = {"name": reference._document_path}
        try:
            found = _api().get_document(request=request, metadata=self._rpc_metadata, retry=None, timeout=deadline_s)
        except NotFound:
            return DocumentSnapshot(reference, None, False, None, None, None)
        fields = _helpers.decode_dict(found.fields, self)
        return DocumentSnapshot(reference, fields, True, found.update_time, found.create_time, found.update_time)

    def __init__(self, project: str, id_token: str) -> None:
        super().__init__(project=project, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
        self._id_token = id_token

    @property
    def _firestore_api(self) -> FirestoreClient:
        return _api()

    @property
    def _rpc_metadata(self) -> list[tuple[str, str]]:
        prefix = _helpers.metadata_with_prefix(self._database_string)
        return [*prefix, ("authorization", f"Bearer {self._id_token}")]
