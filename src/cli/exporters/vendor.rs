//! What to write into the configuration of usual exporters. ADDRESS is the collector's.

use clap::ValueEnum;
use serde::Serialize;

/// Whose configuration language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vendor {
    /// Cisco IOS-XE, Flexible NetFlow.
    CiscoIosXe,
    /// Cisco NX-OS.
    CiscoNxOs,
    /// Juniper, inline active flow monitoring.
    Juniper,
    /// Arista EOS, sampled flow tracking.
    Arista,
    /// MikroTik RouterOS 7.
    Mikrotik,
    /// FortiGate.
    Fortigate,
    /// softflowd on Linux and BSD.
    Softflowd,
}

/// What a part of a configuration is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Fields of the records.
    Record,
    /// Active and inactive time-out.
    Timeouts,
    /// How often templates are sent.
    Templates,
    /// Sampling, and telling it.
    Sampling,
    /// Names of interfaces and applications.
    Names,
    /// The exporter's clock.
    Clock,
}

impl Vendor {
    /// The vendor that a private enterprise number in a template speaks for.
    pub fn of_enterprise(pen: u32) -> Option<Vendor> {
        match pen {
            9 => Some(Vendor::CiscoIosXe),
            2636 => Some(Vendor::Juniper),
            30065 => Some(Vendor::Arista),
            14988 => Some(Vendor::Mikrotik),
            12356 => Some(Vendor::Fortigate),
            _ => None,
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Vendor::CiscoIosXe => "Cisco IOS-XE (Flexible NetFlow)",
            Vendor::CiscoNxOs => "Cisco NX-OS",
            Vendor::Juniper => "Juniper (inline active flow monitoring)",
            Vendor::Arista => "Arista EOS (sampled flow tracking)",
            Vendor::Mikrotik => "MikroTik RouterOS 7",
            Vendor::Fortigate => "FortiGate",
            Vendor::Softflowd => "softflowd",
        }
    }

    /// The lines about a topic, or why there are none.
    pub fn lines(self, topic: Topic) -> &'static str {
        match self {
            Vendor::CiscoIosXe => ios_xe(topic),
            Vendor::CiscoNxOs => nx_os(topic),
            Vendor::Juniper => juniper(topic),
            Vendor::Arista => arista(topic),
            Vendor::Mikrotik => mikrotik(topic),
            Vendor::Fortigate => fortigate(topic),
            Vendor::Softflowd => softflowd(topic),
        }
    }
}

impl Topic {
    /// All.
    pub const ALL: &'static [Topic] = &[
        Topic::Record,
        Topic::Timeouts,
        Topic::Templates,
        Topic::Sampling,
        Topic::Names,
        Topic::Clock,
    ];

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Topic::Record => "fields of the records",
            Topic::Timeouts => "time-outs",
            Topic::Templates => "templates",
            Topic::Sampling => "sampling",
            Topic::Names => "names",
            Topic::Clock => "clock",
        }
    }
}

fn ios_xe(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "flow record FLOWHOUSE-IN
 match ipv4 source address
 match ipv4 destination address
 match ipv4 protocol
 match ipv4 tos
 match transport source-port
 match transport destination-port
 match interface input
 match flow direction
 collect interface output
 collect counter bytes long
 collect counter packets long
 collect timestamp absolute first
 collect timestamp absolute last
 collect transport tcp flags
 collect application name
! the same with `ipv6` for IPv6; on every interface: ip flow monitor FLOWHOUSE input"
        }
        Topic::Timeouts => {
            "flow monitor FLOWHOUSE
 cache timeout active 60
 cache timeout inactive 15"
        }
        Topic::Templates => {
            "flow exporter FLOWHOUSE
 destination ADDRESS
 source Loopback0
 transport udp 4739
 export-protocol ipfix
 template data timeout 60"
        }
        Topic::Sampling => {
            "sampler FLOWHOUSE
 mode random 1 out-of 1000
interface TenGigabitEthernet0/0/0
 ip flow monitor FLOWHOUSE sampler FLOWHOUSE input
flow exporter FLOWHOUSE
 option sampler-table timeout 300"
        }
        Topic::Names => {
            "flow exporter FLOWHOUSE
 option interface-table timeout 300
 option application-table timeout 300"
        }
        Topic::Clock => "ntp server NTP-SERVER",
    }
}

fn nx_os(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "feature netflow
flow record FLOWHOUSE
 match ipv4 source address
 match ipv4 destination address
 match ip protocol
 match ip tos
 match transport source-port
 match transport destination-port
 collect counter bytes long
 collect counter packets long
 collect timestamp sys-uptime first
 collect timestamp sys-uptime last
 collect transport tcp flags
flow monitor FLOWHOUSE
 record FLOWHOUSE
 exporter FLOWHOUSE
! interfaces are in every record; on every interface: ip flow monitor FLOWHOUSE input"
        }
        Topic::Timeouts => {
            "! Nexus 9000: one time-out for all flows
flow timeout 60
! Nexus 7000, M series
flow timeout active 60
flow timeout inactive 15"
        }
        Topic::Templates => {
            "flow exporter FLOWHOUSE
 destination ADDRESS use-vrf management
 transport udp 2055
 source mgmt0
 version 9
  template data timeout 60"
        }
        Topic::Sampling => {
            "flow exporter FLOWHOUSE
 version 9
  option sampler-table timeout 300
! where the platform samples without telling: give the interval in [decode.sampling] of the collector"
        }
        Topic::Names => {
            "flow exporter FLOWHOUSE
 version 9
  option interface-table timeout 300"
        }
        Topic::Clock => "ntp server NTP-SERVER use-vrf management",
    }
}

fn juniper(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "set services flow-monitoring version-ipfix template FLOWHOUSE ipv4-template
set services flow-monitoring version-ipfix template FLOWHOUSE flow-key flow-direction
set services flow-monitoring version-ipfix template FLOWHOUSE flow-key vlan-id
set forwarding-options sampling instance FLOWHOUSE family inet output flow-server ADDRESS port 4739
set forwarding-options sampling instance FLOWHOUSE family inet output flow-server ADDRESS version-ipfix template FLOWHOUSE
set forwarding-options sampling instance FLOWHOUSE family inet output inline-jflow source-address ROUTER-ADDRESS
set chassis fpc 0 sampling-instance FLOWHOUSE
set interfaces ge-0/0/0 unit 0 family inet sampling input
# a second template with ipv6-template and family inet6 for IPv6"
        }
        Topic::Timeouts => {
            "set services flow-monitoring version-ipfix template FLOWHOUSE flow-active-timeout 60
set services flow-monitoring version-ipfix template FLOWHOUSE flow-inactive-timeout 15"
        }
        Topic::Templates => {
            "set services flow-monitoring version-ipfix template FLOWHOUSE template-refresh-rate seconds 60"
        }
        Topic::Sampling => {
            "set forwarding-options sampling instance FLOWHOUSE input rate 1000
set services flow-monitoring version-ipfix template FLOWHOUSE option-refresh-rate seconds 60"
        }
        Topic::Names => {
            "# inline monitoring does not tell names: let SNMP tell them, or write them into [[enrich.interfaces]] of the collector"
        }
        Topic::Clock => "set system ntp server NTP-SERVER",
    }
}

fn arista(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "flow tracking sampled
   tracker FLOWHOUSE
      exporter FLOWHOUSE
         collector ADDRESS port 4739
         format ipfix version 10
         local interface Loopback0
   no shutdown
interface Ethernet1
   flow tracker sampled FLOWHOUSE"
        }
        Topic::Timeouts => {
            "flow tracking sampled
   tracker FLOWHOUSE
      ! milliseconds
      record export on interval 60000
      record export on inactive timeout 15000"
        }
        Topic::Templates => {
            "flow tracking sampled
   tracker FLOWHOUSE
      exporter FLOWHOUSE
         ! milliseconds
         template interval 60000"
        }
        Topic::Sampling => {
            "flow tracking sampled
   sample 1000
! a version that does not tell its interval: give it in [decode.sampling] of the collector"
        }
        Topic::Names => {
            "! interfaces are named by options records of the tracker: they come with every template interval"
        }
        Topic::Clock => "ntp server NTP-SERVER",
    }
}

fn mikrotik(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "/ip traffic-flow set enabled=yes interfaces=all
/ip traffic-flow target add dst-address=ADDRESS port=4739 version=ipfix
# what hardware forwards does not pass the CPU and is not in the records"
        }
        Topic::Timeouts => {
            "/ip traffic-flow set active-flow-timeout=1m inactive-flow-timeout=15s"
        }
        Topic::Templates => {
            "/ip traffic-flow target set [find] v9-template-timeout=1m v9-template-refresh=20"
        }
        Topic::Sampling => {
            "/ip traffic-flow set packet-sampling=no
# with sampling: (interval + space) / interval packets stand for one; give that in [decode.sampling] of the collector"
        }
        Topic::Names => {
            "# names are not exported: let SNMP tell them, or write them into [[enrich.interfaces]] of the collector"
        }
        Topic::Clock => {
            "/system ntp client set enabled=yes
/system ntp client servers add address=NTP-SERVER"
        }
    }
}

fn fortigate(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => {
            "config system netflow
    config collectors
        edit 1
            set collector-ip ADDRESS
            set collector-port 2055
        next
    end
end
config system interface
    edit port1
        set netflow-sampler both
    next
end
# releases before 7.4 have collector-ip and collector-port in config system netflow itself"
        }
        Topic::Timeouts => {
            "config system netflow
    set active-flow-timeout 60
    set inactive-flow-timeout 15
end
# old releases count the active time-out in minutes: there it is 1"
        }
        Topic::Templates => {
            "config system netflow
    set template-tx-timeout 60
    set template-tx-counter 20
end"
        }
        Topic::Sampling => {
            "# NetFlow of a FortiGate is not sampled: `\"FORTIGATE-ADDRESS\" = 1` in [decode.sampling] of the collector says so"
        }
        Topic::Names => {
            "# interfaces are told by index: let SNMP tell their names, or write them into [[enrich.interfaces]] of the collector"
        }
        Topic::Clock => {
            "config system ntp
    set ntpsync enable
    set type fortiguard
end"
        }
    }
}

fn softflowd(topic: Topic) -> &'static str {
    match topic {
        Topic::Record => "softflowd -i eth0 -v 10 -T full -n ADDRESS:4739",
        Topic::Timeouts => {
            "softflowd ... -t maxlife=60 -t general=60 -t tcp=60 -t udp=15 -t icmp=15 -t expint=10"
        }
        Topic::Templates => "# templates come with every few datagrams; nothing to set",
        Topic::Sampling => "softflowd ... -s 100     # 1 in 100 packets; told in options data",
        Topic::Names => {
            "# the interface is told by index and name in options data; speed: [[enrich.interfaces]] of the collector"
        }
        Topic::Clock => "timedatectl set-ntp true",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendor_has_lines_for_every_topic() {
        for vendor in Vendor::value_variants() {
            for topic in Topic::ALL {
                let lines = vendor.lines(*topic);
                assert!(
                    !lines.is_empty() && lines == lines.trim(),
                    "{vendor:?} {topic:?}"
                );
            }
            let all: String = Topic::ALL.iter().map(|t| vendor.lines(*t)).collect();
            assert!(
                all.contains("ADDRESS") && all.contains("60") | all.contains("1m"),
                "{vendor:?}"
            );
        }
    }
}
