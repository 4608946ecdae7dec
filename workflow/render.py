"""Render the book's source as HTML, with a stamp of what it was made from: ``python -m workflow.render PROFILE``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping

from gcamccl_core.disk_faults import StorageError, explain
from gcamccl_core.kept_files import digest_folder, read_sealed, write_sealed
from gcamccl_core.lifelines import end_with_parent
from gcamccl_core.provenance import stamp
from workflow.execute import end_with_run
from workflow.intact import BASIS, BOOK_STAMP, RENDERED
from workflow.page_stamps import StampError, stamp_pages
from workflow.profile import Profile, read_profile

LOUD = ["-W", "--keep-going", "--nitpick", "--all", "-q"]  # a broken reference or a missing picture is an error


def render(profile: Profile) -> int:
    """Render into a folder of its own, from nothing, and put it in the place of the former book when all is there."""
    run = profile.run_folder
    rendering, html = run / "rendering", run / "html"
    shutil.rmtree(rendering, ignore_errors=True)  # of a run that was killed, perhaps: half-written, it stops the next
    basis = read_sealed(run / "source" / BASIS)
    command = ["jupyter-book", "build", str(run / "source"), "--path-output", str(rendering), *LOUD]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent)
    if done.returncode:
        return done.returncode
    fresh = rendering / "_build" / "html"
    stamp_pages(profile, fresh)
    parameters: Mapping[str, object] = {"profile": profile.name, **profile.parameters, "notebooks": profile.notebooks}
    write_sealed(fresh / BOOK_STAMP, {**stamp(parameters), **basis, "files": digest_folder(fresh)})
    former = run / ".html.partial"
    shutil.rmtree(former, ignore_errors=True)
    if html.exists():
        html.rename(former)  # and not removed first: between the two the book is gone for an instant alone
    fresh.rename(html)
    shutil.rmtree(former, ignore_errors=True)
    shutil.rmtree(rendering, ignore_errors=True)
    (run / RENDERED).touch()
    return 0


def main(name: str) -> int:
    """Render a profile's book."""
    profile = read_profile(name)
    try:
        return render(profile)
    except StampError as fault:
        print(fault, file=sys.stderr)
        return 1
    except OSError as fault:
        said = fault if isinstance(fault, StorageError) else explain(fault, profile.run_folder / "html")
        if said is None:
            raise
        print(said.strerror, file=sys.stderr)
        return 1


if __name__ == "__main__":
    end_with_run()
    sys.exit(main(sys.argv[1]))
