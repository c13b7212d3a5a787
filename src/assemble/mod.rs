//! Builds channels and threads, sums the memory budget, stops everything in order.
