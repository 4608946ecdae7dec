"""Alt text of notebook images in the built book: MyST-NB drops it from an output's metadata, this renderer keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # the renderer runs inside MyST-NB, which the core itself does not need
    from docutils.nodes import Element
    from myst_nb.core.render import MimeData, NbElementRenderer


class AltTextImages:
    """MyST-NB renderer, found by its entry point in the group ``myst_nb.mime_renderers``."""

    mime_priority_overrides: ClassVar[Sequence[tuple[str, str, int | None]]] = ()

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[Element] | None:
        """Render an image that carries alt text; leave everything else to MyST-NB.

        Parameters
        ----------
        renderer : NbElementRenderer
            MyST-NB's own renderer, which makes the image node.
        data : MimeData
            One output of one cell.
        inline : bool
            Whether the output stands inside a paragraph.

        Returns
        -------
        list of docutils nodes, or None
            None if the output is no image or has no alt text.
        """
        alt = data.output_metadata.get(data.mime_type, {}).get("alt")
        if not alt or not data.mime_type.startswith("image/"):
            return None
        nodes = renderer.render_image_inline(data) if inline else renderer.render_image(data)
        for node in nodes:
            node["alt"] = alt
        return nodes
