"""Methods that need no training, one to a file; `METHODS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medseg.registry import Registry, build

if TYPE_CHECKING:
    from medseg.segmenter import Segmenter

METHODS: Registry[Callable[..., Segmenter]] = Registry(
    "method",
    {
        "threshold": (
            "medseg.classical.interval:Interval",
            "an interval of intensities",
        ),
        "otsu": (
            "medseg.classical.otsu:Otsu",
            "thresholds that part the intensities into classes, dark to bright",
        ),
        "li": ("medseg.classical.li:Li", "threshold of minimum cross entropy"),
        "yen": ("medseg.classical.yen:Yen", "threshold of maximum correlation"),
        "triangle": ("medseg.classical.triangle:Triangle", "threshold where the tail begins"),
        "isodata": ("medseg.classical.isodata:IsoData", "threshold half-way between the means"),
        "minimum": ("medseg.classical.minimum:Minimum", "threshold in the valley of two peaks"),
        "mean": ("medseg.classical.mean:Mean", "the mean as threshold"),
        "kittler-illingworth": (
            "medseg.classical.kittler_illingworth:KittlerIllingworth",
            "threshold of minimum error between two bell-shaped parts",
        ),
        "maximum-entropy": (
            "medseg.classical.maximum_entropy:MaximumEntropy",
            "threshold of maximum entropy, after Kapur",
        ),
        "huang": ("medseg.classical.huang:Huang", "threshold of minimum fuzziness"),
        "sauvola": (
            "medseg.classical.sauvola:Sauvola",
            "local threshold by mean and deviation of a window in mm",
        ),
        "niblack": (
            "medseg.classical.niblack:Niblack",
            "local threshold some deviations below the mean of a window in mm",
        ),
        "local-gaussian": (
            "medseg.classical.local_gaussian:LocalGaussian",
            "local threshold by a Gaussian mean, width in mm",
        ),
        "hysteresis": (
            "medseg.classical.hysteresis:Hysteresis",
            "a low threshold where a high one is connected",
        ),
        "k-means": (
            "medseg.classical.k_means:KMeans",
            "classes about means; any number of channels",
        ),
        "gaussian-mixture": (
            "medseg.classical.gaussian_mixture:GaussianMixture",
            "bell-shaped classes, smooth if wished; any number of channels",
        ),
        "slic": (
            "medseg.classical.slic:SLIC",
            "supervoxels: small compact regions of one piece; any number of channels",
        ),
        "region-growing": (
            "medseg.classical.region_growing:RegionGrowing",
            "what touches a seed and looks like it; needs seeds",
        ),
        "connected-threshold": (
            "medseg.classical.connected_threshold:ConnectedThreshold",
            "what touches a seed and lies in an interval of intensities",
        ),
        "neighbourhood-connected": (
            "medseg.classical.connected_threshold:NeighbourhoodConnected",
            "the same, with all that lies within a radius in mm",
        ),
        "confidence-connected": (
            "medseg.classical.confidence_connected:ConfidenceConnected",
            "what touches a seed and is near the mean, learned from the region",
        ),
        "vector-confidence-connected": (
            "medseg.classical.confidence_connected:VectorConfidenceConnected",
            "the same in several channels together",
        ),
        "fast-marching": (
            "medseg.classical.fast_marching:FastMarching",
            "fronts from the seeds, slow at edges; the first to arrive wins",
        ),
        "watershed": (
            "medseg.classical.watershed:Watershed",
            "regions that meet at the strongest edge between their seeds",
        ),
        "basins": (
            "medseg.classical.watershed:Basins",
            "watershed without seeds: a region around each valley that is deep enough",
        ),
        "morphological-chan-vese": (
            "medseg.classical.morphological_chan_vese:MorphologicalChanVese",
            "contour that makes inside and outside even, by whole voxels; needs seeds",
        ),
        "morphological-gac": (
            "medseg.classical.morphological_gac:MorphologicalGAC",
            "contour that edges hold, by whole voxels; needs seeds",
        ),
        "chan-vese": (
            "medseg.classical.chan_vese:ChanVese",
            "contour that makes inside and outside even, in mm; needs seeds",
        ),
        "geodesic-contour": (
            "medseg.classical.geodesic_contour:GeodesicContour",
            "contour that edges hold and pull, in mm; needs seeds",
        ),
        "threshold-level-set": (
            "medseg.classical.threshold_level_set:ThresholdLevelSet",
            "smooth contour that grows within an interval; needs seeds",
        ),
        "shape-detection": (
            "medseg.classical.shape_detection:ShapeDetection",
            "smooth contour that grows until sharp edges hold it; needs seeds",
        ),
        "snake": (
            "medseg.classical.snake:Snake",
            "elastic curve or surface of points that forces pull to a border; needs seeds",
        ),
        "laplacian-level-set": (
            "medseg.classical.laplacian_level_set:LaplacianLevelSet",
            "contour that ends where edges are steepest, in mm; needs seeds",
        ),
        "random-walker": (
            "medseg.classical.random_walker:RandomWalker",
            "the seeds that a walk that avoids edges would meet first; interactive",
        ),
        "geodesic": (
            "medseg.classical.geodesic:Geodesic",
            "the nearest seed along paths that avoid edges; interactive",
        ),
        "grow-cut": (
            "medseg.classical.grow_cut:GrowCut",
            "the seed that comes with most strength left over changes; interactive",
        ),
        "graph-cut": (
            "medseg.classical.graph_cut:GraphCut",
            "one label and the rest, parted at the least energy; interactive",
        ),
    },
)


def method(name: str, **parameters: object) -> Segmenter:
    """Build the classical method called `name`.

    Raises
    ------
    ValueError
        If there is no such method, or it has no such parameter, or refuses its value.
    """
    return build(METHODS.pick(name), parameters, name)


__all__ = ["METHODS", "method"]
