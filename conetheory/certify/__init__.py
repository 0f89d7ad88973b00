"""Certificates of CSC, and what they can't say: bounds that hold for every start, rounded outward.

Touch `certify_csc` for one chain and `CscCertifier` for many. `blocks` certifies blocks of layers, `signed`
chains that leave the cone, `every_image` all images with the same active units.
"""

from conetheory.certify.certifier import (
    CscCertifier,
    LayerCertificate,
    applicable,
    certificate,
    certify_csc,
)

__all__ = ["CscCertifier", "LayerCertificate", "applicable", "certificate", "certify_csc"]
