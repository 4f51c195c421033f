"""The one error of the engine that a caller must expect."""


class AnalysisError(Exception):
    """A file that cannot be measured.

    code: stable, for programs. `unreadable` (not audio, not an accepted format, or damaged from the start), `empty`
        (no bytes, or no sample), `too-long` (more samples than allowed), `too-slow` (more time than allowed),
        `too-many-channels`, `unsupported-rate`.
    detail: plain English, names what is wrong and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
