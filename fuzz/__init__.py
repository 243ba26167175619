"""Fuzzers of everything that reads a file from elsewhere, one target a file.

The package's code is instrumented as it is imported, so that inputs that reach new code are kept.
"""

import atheris

HOOK = atheris.instrument_imports(include=["sam2_video"])
HOOK.__enter__()
