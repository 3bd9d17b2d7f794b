"""matplotlib figures as small, deterministic, inline SVG that reads the same on every machine.

Text is drawn as paths, so no font is needed; ids are hashed with a fixed salt and prefixed with the
figure's key, so that many figures can stand in one page; there is no date and no generator comment.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup, escape

from truing.core.digests import digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#22262b"
MUTED = "#6b7280"
RULE = "#d9dce1"

_STYLE: dict[str, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "truing",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.2,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.2,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_URL = re.compile(r"url\(#([^)]+)\)")
_SHIFT = re.compile(r"^translate\((-?[\d.]+) 0\)$")


def draw(key: str, label: str, width: float, height: float, paint: Callable[[Figure], None]) -> Markup:
    """Paint a figure and return it as an inline SVG element.

    Args:
        key: Unique in the page; the prefix of every id inside.
        label: What the figure shows, for those who cannot see it.
        width: In CSS pixels at its natural size, which fits a phone at up to 358.
        height: In CSS pixels.
        paint: Draws on the empty figure.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        # A user's matplotlibrc must not change the bytes.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # matplotlib writes SVG in points of 1/72 inch.
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(figure)
        paint(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _inline(stream.getvalue(), key, label, width)


def _inline(source: str, key: str, label: str, width: float) -> Markup:
    # The document is matplotlib's own; what a caller wrote in it has been drawn as paths or escaped by it.
    root = ElementTree.fromstring(source)  # noqa: S314
    used = {target for element in root.iter() for target in _targets(element)}
    prefix = f"f{digest(key)[:6]}-"
    names = {old: f"{prefix}{index}" for index, old in enumerate(sorted(used))}
    body = "".join(_write(child, names) for child in root)
    opening = f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="{root.get("viewBox")}" style="--natural:{width:.0f}px">'
    return Markup(f"{opening}{body}</svg>")  # noqa: S704


def _targets(element: ElementTree.Element) -> list[str]:
    href = element.get(_HREF, "")
    return [href[1:]] * href.startswith("#") + [name for value in element.attrib.values() for name in _URL.findall(value)]


def _write(element: ElementTree.Element, names: Mapping[str, str]) -> str:
    """One element in its shortest form: no metadata, no unused ids, no groups or paths that draw nothing."""
    tag = element.tag.removeprefix(_SVG)
    if tag in ("metadata", "style") or (tag == "path" and element.get("style") == "fill: none"):
        return ""
    inside = "".join(_write(child, names) for child in element)
    attributes = _attributes(tag, element, names)
    if tag in ("g", "defs") and (not inside or (tag == "g" and not attributes)):
        return inside
    opening = " ".join([tag, *(f'{name}="{escape(value)}"' for name, value in attributes.items())])
    return f"<{opening}>{inside}</{tag}>" if inside else f"<{opening}/>"


def _attributes(tag: str, element: ElementTree.Element, names: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {"tabindex": "-1"} if tag == "a" else {}
    for name, value in element.items():
        if name == "id":
            found |= {"id": names[value]} if value in names else {}
        elif name == _HREF:
            found["href"] = f"#{names[value[1:]]}" if value.startswith("#") else value
        elif "url(#" in value:
            found[name] = _URL.sub(lambda match: f"url(#{names[match.group(1)]})", value)
        elif name in ("d", "x", "y", "width", "height"):
            found[name] = _short(value)
        elif name == "style":
            found[name] = value.replace(": ", ":").replace("; ", ";")
        elif tag == "use" and name == "transform" and (shift := _SHIFT.match(value)):
            # On a use element x is the same shift, in fewer letters.
            found["x"] = _short(shift.group(1))
        elif name == "transform":
            found[name] = re.sub(r"translate\([^)]*\)", lambda match: _short(match.group()), value)
        elif not name.startswith("{") and name not in ("target", "version"):
            found[name] = value
    return found


def _short(value: str) -> str:
    """Coordinates to a hundredth of a pixel, with no space that a path can do without."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: _trim(number.group()), value)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded.replace("\n", " ")).strip() if "M" in value else rounded


def _trim(number: str) -> str:
    text = f"{float(number):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
