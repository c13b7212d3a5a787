//! What can be wrong with the settings of this room: all faults of the operator.

/// A fault in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More rules than the table has room for.
    #[error("applications.ports: {count} rules, at most {max} are possible")]
    TooManyRules {
        /// Rules given.
        count: usize,
        /// Rules possible.
        max: usize,
    },
    /// A range that ends before it begins, or port 0.
    #[error("applications.ports: {first}-{last} is no range of ports")]
    PortRange {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A name without a letter or digit.
    #[error("{key}: {name:?} has no letter or digit")]
    EmptyName {
        /// Key of the setting.
        key: &'static str,
        /// What was given.
        name: String,
    },
    /// Neither 0 to 63 nor the name of a code point.
    #[error("qos.dscp: {0:?} is no DSCP (0 to 63, CS0 to CS7, AF11 to AF43, EF, VA, LE, DF)")]
    Dscp(String),
}
