"""Several systems under the same conditions: comparisons, and claims of the literature put to the test."""
