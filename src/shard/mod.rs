//! The loop: the only room that knows the order of the stages.
