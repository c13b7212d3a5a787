//! An export datagram on its way from receive to decode.

use super::Addr;

/// One UDP payload with what is known about its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// UDP source address.
    pub source: Addr,
    /// UDP source port.
    pub port: u16,
    /// Collector clock (in `replay`: the capture's), nanoseconds since 1970 UTC.
    pub received_at_ns: i64,
    /// Number of the datagram: since start, or in the input (from 1).
    pub number: u64,
    /// Number of the input frame that completed it (from 1); 0 when live.
    pub frame: u64,
    /// Whether the payload was cut by the receive buffer or the capture's snap length.
    pub cut: bool,
    /// The UDP payload.
    pub payload: &'a [u8],
}

impl Datagram<'_> {
    /// Whose datagram it is: the agent that an sFlow version 5 header names (sFlow.org, sFlow Version 5, July 2004, section
    /// 5.3), else the source, also where the agent does not know its address or the header is cut short.
    #[inline]
    pub fn exporter(&self) -> Addr {
        match self.payload {
            [0, 0, 0, 5, 0, 0, 0, family, rest @ ..] => self.agent(*family, rest),
            _ => self.source,
        }
    }

    /// `rest`: what stands behind the agent's address family.
    fn agent(&self, family: u8, rest: &[u8]) -> Addr {
        let agent = match family {
            1 => rest
                .split_first_chunk()
                .map(|(a, r)| (Addr::from_v4(*a), r)),
            2 => rest
                .split_first_chunk()
                .map(|(a, r)| (Addr::from_v6(*a), r)),
            _ => None,
        };
        match agent {
            Some((agent, rest)) if rest.len() >= AFTER_AGENT && !agent.is_unspecified() => agent,
            _ => self.source,
        }
    }
}

/// Sub-agent, sequence number, uptime and count of samples.
const AFTER_AGENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn exporter(payload: &[u8]) -> Addr {
        let d = Datagram {
            source: SOURCE,
            port: 6343,
            received_at_ns: 0,
            number: 1,
            frame: 0,
            cut: false,
            payload,
        };
        d.exporter()
    }

    /// A header with an agent.
    fn header(version: u32, family: u32, agent: &[u8]) -> Vec<u8> {
        let [version, family] = [version, family].map(u32::to_be_bytes);
        [&version, &family, agent, &[0; AFTER_AGENT]].concat()
    }

    const SOURCE: Addr = Addr::from_v4([192, 0, 2, 9]);

    #[test]
    fn an_agent_exports_what_its_header_names_it_in() {
        let v4 = header(5, 1, &[10, 0, 0, 1]);
        assert_eq!(exporter(&v4), Addr::from_v4([10, 0, 0, 1]));
        let v6 = header(5, 2, &[0x20; 16]);
        assert_eq!(exporter(&v6), Addr::from_v6([0x20; 16]));
        for whole in [v4, v6] {
            (0..whole.len()).for_each(|cut| assert_eq!(exporter(&whole[..cut]), SOURCE, "{cut}"));
        }
        for other in [
            header(5, 0, &[]),
            header(5, 1, &[0; 4]),
            header(5, 2, &[0; 16]),
            header(5, 3, &[1; 16]),
            header(5, 257, &[1; 16]),
            header(4, 1, &[1; 4]),
            header(0x0005_0001, 1, &[1; 4]),
        ] {
            assert_eq!(exporter(&other), SOURCE, "{other:?}");
        }
    }
}
