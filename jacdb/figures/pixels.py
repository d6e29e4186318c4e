"""Draw a figure as pixels, once.

matplotlib's savefig draws a figure that has a layout twice, the first time into nothing. Here the layout is made once,
at the resolution of the picture, and then drawn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


def pixels(figure: "Figure", dpi: int) -> "Image":
    """Return a figure as an RGB image of so many pixels an inch; its canvas and layout engine stay as they were."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import fromarray

    before, resolution, engine = figure.canvas, figure.get_dpi(), figure.get_layout_engine()
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib types it in part
    try:
        figure.set_dpi(dpi)
        if engine is not None:
            for axes in figure.axes:  # square cells shrink their axes: a layout of the unshrunk ones is another
                locate: Any = axes.get_axes_locator()
                axes.apply_aspect(locate(axes, canvas.get_renderer()) if locate else None)
            engine.execute(figure)
            figure.set_layout_engine("none")
        canvas.draw()
        picture = fromarray(np.asarray(canvas.buffer_rgba()))
        return picture.convert("RGB")  # nothing is transparent, and there is a quarter less to compress
    finally:
        figure.set_layout_engine(engine)
        figure.set_dpi(resolution)
        figure.set_canvas(before)
