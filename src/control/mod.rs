//! HTTP: health, metrics; the inventory of exporters. Reads, and is never asked by the hot path.
