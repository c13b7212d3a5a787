//! Usage: bandwidth per application, QoS class and interface, pro-rated over minutes.
