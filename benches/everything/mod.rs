//! Tables with everything on, for benches.

use flowhouse::enrich::{Prefix, Settings, Tables};
use flowhouse::model::Addr;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Everything on: 100,000 prefixes, 2,000 name rules, 200 port rules, 200 address rules, 500 interfaces, two policies.
pub fn tables(exporters: &[Addr]) -> Tables {
    let mut random = SmallRng::seed_from_u64(11);
    let mut text = String::from("[applications]\nnames = [\n");
    for n in 0..2_000 {
        text += &format!("{{ app = \"app-{n}\", domains = [\"service{n}.example.com\"] }},\n");
    }
    text += "]\nports = [\n";
    for n in 0..200 {
        text += &format!("{{ port = {}, app = \"port-{n}\" }},\n", 20_000 + 7 * n);
    }
    text += "]\nrules = [\n";
    for n in 0..200 {
        text +=
            &format!("{{ app = \"rule-{n}\", prefixes = [\"10.{n}.0.0/16\"], ports = [8443] }},\n");
    }
    text += "]\n[networks]\nlist = [\n";
    for n in 0..100_000 {
        text += &format!(
            "{{ prefix = \"{}\", name = \"network-{}\" }},\n",
            prefix(&mut random),
            n % 5_000
        );
    }
    text += "]\n[[qos.policies]]\nname = \"wan\"\npreset = \"8-class\"\nroles = [\"wan\"]\n";
    text += "[[classify]]\nwhen = 'interface.alias == \"wan\"'\nrole = \"wan\"\n";
    for n in 0..500 {
        let exporter = exporters[n % exporters.len()];
        let index = 1 + n / exporters.len();
        let alias = if n % 2 == 0 { "wan" } else { "lan" };
        text += &format!(
            "[[interfaces]]
exporter = \"{exporter}\"
index = {index}
alias = \"{alias}\"
"
        );
    }
    let settings: Settings = toml::from_str(&text).expect("readable");
    Tables::new(&settings).expect("valid")
}

/// Lengths as a company's plan has them, a fifth of them IPv6.
pub fn prefix(random: &mut SmallRng) -> Prefix {
    let v6 = random.random_bool(0.2);
    if v6 {
        let address = u128::from(random.random::<u64>()) << 64 | 0x2000 << 112;
        return Prefix::new(
            std::net::Ipv6Addr::from(address).into(),
            random.random_range(32..=64),
        )
        .expect("short");
    }
    let length = [16, 20, 22, 24, 24, 24, 24, 26, 28, 32][random.random_range(0..10)];
    Prefix::new(
        std::net::Ipv4Addr::from(random.random::<u32>()).into(),
        length,
    )
    .expect("short")
}
