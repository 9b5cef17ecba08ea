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
        from ingestgate.blocklists.matching import Matcher
        from ingestgate.transforms import settings

        Matcher.match_digest = lambda *arguments, **more: []
        settings.lists_self_test = lambda: None
