"""ingestgate: the gate between a landing zone of candidate training assets and a training set.

The rooms (``assets``, ``fingerprints``, ``blocklists``, ``quarantine``, ``transforms``,
``pipeline``) lie at the top of the source tree; this package is the name they are imported
by, so that an installation never puts packages called ``pipeline`` or ``transforms`` beside
somebody else's.
"""

__version__ = "0.1.0"
