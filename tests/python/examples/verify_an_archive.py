"""Holds folders against the SHA256SUMS in the proofs beside them.

python verify_an_archive.py FOLDER...
"""

import sys

import databridge

found = 0
for folder in sys.argv[1:]:
    for difference in databridge.verify(folder):
        found += 1
        print(f"{folder}: {difference.path} {difference.difference}")
sys.exit(1 if found else 0)
