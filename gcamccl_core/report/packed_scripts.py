"""Scripts of a page that stands alone, in a third of their size: compressed inside it, unpacked by the browser."""

from __future__ import annotations

import base64
import gzip

_UNPACK = """
const unpacked = new Promise(done => document.addEventListener("DOMContentLoaded", done)).then(async () => {
  const letters = atob(document.getElementById("packed").textContent);
  const bytes = Uint8Array.from(letters, letter => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(plain).text();
  document.head.append(script);
});
unpacked.catch(() => document.body.append("This browser cannot unpack what draws here; one of 2023 or later can."));
"""


def packed(script: str) -> str:
    """Make the elements of a page that run a script which lies compressed in them.

    Only for what comes from a library: what is packed, no search for names or counts of people can read.

    Parameters
    ----------
    script : str
        JavaScript, run as one script element is, when the page is there.

    Returns
    -------
    str
        HTML, the same for the same script. Scripts below it may wait for the promise ``unpacked``.

    Examples
    --------
    >>> page = packed("var answer = 42;" * 1000)
    >>> len(page) < 2000, unpack(page)[:16]
    (True, 'var answer = 42;')
    """
    data = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    return f'<script type="text/plain" id="packed">{data}</script>\n<script>{_UNPACK}</script>'


def unpack(page: str) -> str:
    """Read the script back from a page that :func:`packed` has made.

    Raises
    ------
    ValueError
        If nothing is packed in the page.
    """
    _, mark, rest = page.partition('id="packed">')
    if not mark:
        raise ValueError("no script is packed in this page")
    return gzip.decompress(base64.b64decode(rest.partition("</script>")[0])).decode()
