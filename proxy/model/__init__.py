"""Frozen values and field-wide vocabulary; no behaviour beyond arithmetic."""
