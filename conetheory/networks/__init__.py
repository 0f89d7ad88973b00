"""The torch edge: networks by name or from a module, traced to a graph of operations, and their images."""

from conetheory.networks.edge import Model, as_network
from conetheory.networks.graph import Graph
from conetheory.networks.images import Images, bundled_images, load_images
from conetheory.networks.sources import names
from conetheory.networks.streamed import stream_images
from conetheory.networks.trace import trace
from conetheory.networks.zoo import Network, load

__all__ = [
    "Graph",
    "Images",
    "Model",
    "Network",
    "as_network",
    "bundled_images",
    "load",
    "load_images",
    "names",
    "stream_images",
    "trace",
]
