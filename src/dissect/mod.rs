//! Frames to packet views: link, VLAN, IP, transport.
