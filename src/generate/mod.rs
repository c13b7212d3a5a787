//! Exporters with known content, for load, demo and tests.
