"""One file per published method; the registry names what can be trained."""

from collections.abc import Callable

from edgeconnect.config.sections import Config
from edgeconnect.methods.edgeconnect import Edge, EdgeInpaint, Inpaint, Joint
from edgeconnect.types import Method, Prepare

METHODS: dict[str, Callable[[Config, Prepare], Method]] = {
    "edge": Edge,
    "inpaint": Inpaint,
    "edge_inpaint": EdgeInpaint,
    "joint": Joint,
}

TWO_STEP: dict[str, type[EdgeInpaint] | type[Joint]] = {"edge_inpaint": EdgeInpaint, "joint": Joint}


def build(stage: str, config: Config, prepare: Prepare, raw_edges: bool = False) -> Method:
    """Build a method; `raw_edges` makes two-step ones paint along G1's output without the known edges."""
    if raw_edges and stage in TWO_STEP:
        return TWO_STEP[stage](config, prepare, raw_edges=True)
    return METHODS[stage](config, prepare)
