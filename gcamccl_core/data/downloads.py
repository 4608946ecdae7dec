"""Downloads that go on where they stopped, and keep aside what is not the file that was promised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from gcamccl_core.disk_faults import require_room
from gcamccl_core.locks import hold_lock

CHUNK = 1 << 16
TIMEOUT = 30  # seconds without an answer


class WrongFileError(ValueError):
    """A download that is whole, and not the file that was promised; the message says where it is kept."""


@dataclass
class ResumingDownloader:
    """A downloader, with a progress bar, that goes on where an earlier one stopped.

    Parameters
    ----------
    part : Path
        What has come so far; it stays there when a download is broken off.
    size : int
        Bytes of the whole file.
    sha256 : str
        Of the whole file.
    """

    part: Path
    size: int
    sha256: str

    def download(self, url: str, target: Path) -> None:
        """Download into ``part``, check it, and move it to its place.

        Raises
        ------
        requests.RequestException
            If the connection fails; what has come is kept.
        StorageError
            If the disk has too little room for the rest.
        WrongFileError
            If the file is another one than promised; it is kept as ``<name>.wrong``.
        """
        lock = self.part.with_name(f".{self.part.name}.lock")
        with hold_lock(lock, f"the download of {target.name}", url, patience=None):
            if not target.is_file():  # or another process was first
                self._finish(url, target)
            lock.unlink(missing_ok=True)  # nobody who waits for it will download any more

    def _finish(self, url: str, target: Path) -> None:
        have = self.part.stat().st_size if self.part.is_file() else 0
        if have > self.size:
            self.part.unlink()
            have = 0
        if have < self.size:
            require_room(target, self.size - have)
            self._continue(url, have)
        found = pooch.file_hash(str(self.part), alg="sha256")
        if found != self.sha256:
            aside = self.part.with_suffix(".wrong")
            self.part.replace(aside)
            raise WrongFileError(f"its SHA-256 is {found} instead of {self.sha256}; it is kept aside as {aside}")
        self.part.replace(target)

    def _continue(self, url: str, have: int) -> None:
        asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})  # bytes as they are
        with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink(missing_ok=True)  # of another file, perhaps: begin anew next time
            answer.raise_for_status()
            goes_on = answer.status_code == requests.codes.partial_content
            have = have if goes_on else 0  # the server sends all of it again
            bar = tqdm(total=self.size, initial=have, unit="B", unit_scale=True, desc=self.part.stem)
            with self.part.open("ab" if goes_on else "wb") as file, bar:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
