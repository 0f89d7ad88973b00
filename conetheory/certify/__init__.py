"""Certificates of CSC, and what they can't say: bounds that hold for every start, rounded outward.

Touch `certify_csc` for one chain and `CscCertifier` for many; `check_certificates` tries to violate them.
`blocks` certifies blocks of layers, `signed` chains that leave the cone, `every_image` all images with the
same active units; `known` says which numbers float64 can vouch for.
"""

from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CscCertifier, applicable
from conetheory.certify.check import check_certificates
from conetheory.certify.summary import LayerCertificate, certificate

__all__ = [
    "CscCertifier",
    "LayerCertificate",
    "applicable",
    "certificate",
    "certify_csc",
    "check_certificates",
]
