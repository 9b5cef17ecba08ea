"""Makes one worker process of a run blind to listed digests, though its self-test is content.

Imported by every Python process that has this folder on its path; the environment names a file,
``INGESTGATE_BLIND``: the worker that makes it is the blind one.
"""

import os
import sys
from pathlib import Path

if any("local_worker" in argument for argument in sys.orig_argv):
    try:
        Path(os.environ["INGESTGATE_BLIND"]).touch(exist_ok=False)
    except FileExistsError:
        pass  # another one is
    else:
        from unittest.mock import patch

        from ingestgate.blocklists.matching import Matcher
        from ingestgate.transforms import settings

        patch.object(Matcher, "match_digest_each", lambda *arguments, **more: {}).start()
        patch.object(settings, "lists_self_test", lambda: None).start()
