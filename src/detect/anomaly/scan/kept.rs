//! What of sources outlives a restart.

use super::super::keep::kept;
use super::{Detail, Source};

kept!(Source {
    last_ms,
    failed,
    walk,
    tried,
    worked,
    early
});
kept!(Detail {
    first_ms,
    last_ms,
    contacts,
    hosts,
    ports,
    all_hosts,
    named,
    tcp_hosts,
    tcp_ports,
    tcp,
    tcp_worked,
    handle,
    takes_part
});
