//! The variables of rule headers, with the values of Suricata's stock configuration.

use super::list::{self, Kind, RangeSet};
use super::settings::Settings;
use std::collections::BTreeMap;

/// `$NAME` to its text, for addresses and for ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    addresses: BTreeMap<String, String>,
    ports: BTreeMap<String, String>,
}

impl Default for Variables {
    fn default() -> Self {
        let map = |list: &[(&str, &str)]| {
            let owned = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            owned.collect()
        };
        Self {
            addresses: map(ADDRESSES),
            ports: map(PORTS),
        }
    }
}

impl Variables {
    /// Takes a setting by Suricata's name (`vars.address-groups.HOME_NET`, `vars.port-groups.HTTP_PORTS`) or by the
    /// variable's own. `Ok(false)`: the name is not one of a variable.
    ///
    /// # Errors
    /// The value is no list of addresses or ports.
    pub fn set(&mut self, key: &str, value: &str, settings: &Settings) -> Result<bool, String> {
        let upper = |n: &str| {
            !n.is_empty()
                && n.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        let (name, ports) = match key {
            k if k.starts_with(ADDRESS_GROUPS) => (&k[ADDRESS_GROUPS.len()..], false),
            k if k.starts_with(PORT_GROUPS) => (&k[PORT_GROUPS.len()..], true),
            k if upper(k) => (k, self.ports.contains_key(k) || k.ends_with("_PORTS")),
            _ => return Ok(false),
        };
        let value = value.trim();
        let map = if ports {
            &mut self.ports
        } else {
            &mut self.addresses
        };
        let before = map.insert(name.to_owned(), value.to_owned());
        let proven = if ports {
            self.ports_of(value, settings)
        } else {
            self.addresses_of(value, settings)
        };
        if let Err(reason) = proven {
            let map = if ports {
                &mut self.ports
            } else {
                &mut self.addresses
            };
            match before {
                Some(before) => map.insert(name.to_owned(), before),
                None => map.remove(name),
            };
            return Err(reason);
        }
        Ok(true)
    }

    /// Reads a list of addresses.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn addresses_of(&self, text: &str, settings: &Settings) -> Result<RangeSet, String> {
        let kind = Kind {
            space_end: u128::MAX,
            parts: list::FAMILIES,
            item: list::address_item,
            variable: &|name| self.addresses.get(name).map(String::as_str),
            noun: "addresses",
        };
        list::parse(text, &kind, settings)
    }

    /// Reads a list of ports.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn ports_of(&self, text: &str, settings: &Settings) -> Result<RangeSet, String> {
        let kind = Kind {
            space_end: u16::MAX.into(),
            parts: &[&[(0, u16::MAX as u128)]],
            item: list::port_item,
            variable: &|name| self.ports.get(name).map(String::as_str),
            noun: "ports",
        };
        list::parse(text, &kind, settings)
    }
}

const ADDRESS_GROUPS: &str = "vars.address-groups.";
const PORT_GROUPS: &str = "vars.port-groups.";

const ADDRESSES: &[(&str, &str)] = &[
    ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
    ("EXTERNAL_NET", "!$HOME_NET"),
    ("HTTP_SERVERS", "$HOME_NET"),
    ("SMTP_SERVERS", "$HOME_NET"),
    ("SQL_SERVERS", "$HOME_NET"),
    ("DNS_SERVERS", "$HOME_NET"),
    ("TELNET_SERVERS", "$HOME_NET"),
    ("AIM_SERVERS", "$EXTERNAL_NET"),
    ("DC_SERVERS", "$HOME_NET"),
    ("DNP3_SERVER", "$HOME_NET"),
    ("DNP3_CLIENT", "$HOME_NET"),
    ("MODBUS_CLIENT", "$HOME_NET"),
    ("MODBUS_SERVER", "$HOME_NET"),
    ("ENIP_CLIENT", "$HOME_NET"),
    ("ENIP_SERVER", "$HOME_NET"),
];

const PORTS: &[(&str, &str)] = &[
    ("HTTP_PORTS", "80"),
    ("SHELLCODE_PORTS", "!80"),
    ("ORACLE_PORTS", "1521"),
    ("SSH_PORTS", "22"),
    ("DNP3_PORTS", "20000"),
    ("MODBUS_PORTS", "502"),
    ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
    ("FTP_PORTS", "21"),
    ("GENEVE_PORTS", "6081"),
    ("VXLAN_PORTS", "4789"),
    ("TEREDO_PORTS", "3544"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn holds(list: &str, inside: &[&str], outside: &[&str]) {
        let set = Variables::default()
            .addresses_of(list, &Settings::default())
            .unwrap_or_else(|e| panic!("{list}: {e}"));
        let has = |a: &&str| set.contains_address(a.parse::<IpAddr>().unwrap());
        assert!(inside.iter().all(has), "{list}: {set:?}");
        assert!(!outside.iter().any(has), "{list}: {set:?}");
    }

    #[test]
    fn addresses_nest_and_negate_as_suricata_reads_them() {
        holds("any", &["1.2.3.4", "2001:db8::1"], &[]);
        holds("$HOME_NET", &["10.255.0.1"], &["11.0.0.0", "::1"]);
        holds("$EXTERNAL_NET", &["11.0.0.0"], &["172.31.0.1", "::1"]);
        holds("!$EXTERNAL_NET", &[], &["11.0.0.0"]);
        holds(
            "[10.0.0.0/8,!10.1.0.0/16]",
            &["10.2.0.0"],
            &["10.1.9.9", "11.0.0.0"],
        );
        holds(
            "[10.0.0.0/8,![10.1.0.0/16,!10.1.2.0/24]]",
            &["10.2.0.1"],
            &["10.1.1.1", "10.1.2.9"],
        );
        holds("1.2.3.0/255.255.255.0", &["1.2.3.255"], &["1.2.4.0"]);
        holds(
            "[1.2.3.4-1.2.3.9,2001:db8::/32]",
            &["1.2.3.9", "2001:db8:ffff::"],
            &["1.2.3.10", "2001:db9::"],
        );
        // what is said of one family says nothing of the other
        holds("!1.2.3.4", &["1.2.3.5"], &["1.2.3.4", "::"]);
        holds("!2001:db8::1", &["::1"], &["2001:db8::1", "1.2.3.4"]);
        holds("[!1.2.3.4,!::1]", &["1.2.3.5", "::2"], &["1.2.3.4", "::1"]);
        holds("[any,!10.0.0.0/8]", &["11.0.0.0", "::1"], &["10.0.0.1"]);
        holds("0.0.0.0/0", &["255.255.255.255"], &["::1"]);
        holds("::/0", &["::1", "ffff::"], &["1.2.3.4"]);
        // as Suricata reads them without brackets, and with a comma too many
        holds("1.2.3.4,1.2.3.6", &["1.2.3.4", "1.2.3.6"], &["1.2.3.5"]);
        holds("!1.2.3.9,1.2.3.4", &["1.2.3.4"], &["1.2.3.9"]);
        holds("[1.2.3.4,]", &["1.2.3.4"], &["1.2.3.5"]);
        holds("![1.2.3.4,1.2.3.5],1.2.3.0/24", &["1.2.3.6"], &["1.2.3.5"]);
    }

    #[test]
    fn faulty_lists_are_refused() {
        let (variables, settings) = (Variables::default(), Settings::default());
        for bad in [
            "",
            "[]",
            "[1.2.3.4",
            "1.2.3.4]",
            "[1.2.3.4,,1.2.3.5]",
            "!any",
            "![0.0.0.0/0]",
            "!!1.2.3.4",
            "1.2.3.4/33",
            "1.2.3.400",
            "$NOPE",
            "[1.2.3.4,!1.2.3.4]",
            "1.2.3.4/255.0.255.0",
            "1.2.3.9-1.2.3.4",
            "1.2.3.4,,1.2.3.5",
            ",1.2.3.4",
            "::/129",
        ] {
            assert!(variables.addresses_of(bad, &settings).is_err(), "{bad}");
        }
        for bad in [
            "",
            "80:79",
            "65536",
            ":",
            "a",
            "[80,!80]",
            "-1",
            "80-90",
            "80,,90",
            "$HOME_NET",
        ] {
            assert!(variables.ports_of(bad, &settings).is_err(), "{bad}");
        }
        let deep = format!("{}1.2.3.4{}", "[".repeat(99), "]".repeat(99));
        assert!(
            variables
                .addresses_of(&deep, &settings)
                .unwrap_err()
                .contains("list_depth_max")
        );
        let mut own = Variables::default();
        assert!(
            own.set("A", "$A", &settings).is_err(),
            "a variable of itself"
        );
        assert!(own.addresses_of("$A", &settings).is_err());
    }

    #[test]
    fn ports_and_settings() {
        let (mut variables, settings) = (Variables::default(), Settings::default());
        let ports = variables.ports_of("[1024:,!2000:3000]", &settings).unwrap();
        assert!(ports.contains(1024) && ports.contains(65_535) && !ports.contains(2500));
        assert!(
            variables
                .ports_of("$SHELLCODE_PORTS", &settings)
                .unwrap()
                .contains(81)
        );
        let ports = variables.ports_of("53000,80", &settings).unwrap();
        assert!(ports.contains(80) && ports.contains(53_000) && !ports.contains(81));
        assert_eq!(
            variables.set("vars.port-groups.HTTP_PORTS", "[80,8080]", &settings),
            Ok(true)
        );
        assert_eq!(variables.set("HOME_NET", "1.0.0.0/8", &settings), Ok(true));
        assert_eq!(
            variables.set("stream.midstream", "true", &settings),
            Ok(false)
        );
        assert!(variables.set("HOME_NET", "nonsense", &settings).is_err());
        assert!(
            variables
                .ports_of("$FILE_DATA_PORTS", &settings)
                .unwrap()
                .contains(8080)
        );
        assert!(
            !variables
                .addresses_of("$EXTERNAL_NET", &settings)
                .unwrap()
                .contains_address("1.1.1.1".parse().unwrap())
        );
    }
}
