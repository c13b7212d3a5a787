//! Export datagrams to rows of a `FlowBatch`.
