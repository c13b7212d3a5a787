//! Where the two ends of a flow are: named networks, countries, AS numbers.

use super::prefix_map::PrefixMap;
use super::settings::AsFirst;
use super::{Memory, Tables};
use crate::model::{CoreColumns, Field, FlowBatch, RowFlags};
use std::ops::Range;

/// Fills `src_net`, `dst_net`, `src_country`, `dst_country` where there are tables for them, and the AS numbers.
pub fn locate(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let networks = &tables.networks.map;
    if !networks.is_empty() {
        look_up(networks, memory, &batch.core, rows.clone());
        let ids = &tables.network_ids;
        let nets = batch.nets_mut();
        for (n, i) in rows.clone().enumerate() {
            let id = |at: u32| ids.get(at as usize).copied().unwrap_or(0);
            nets.src_net[i] = id(memory.src[n]);
            nets.dst_net[i] = id(memory.dst[n]);
        }
    }
    if !tables.config.countries.is_empty() {
        look_up(&tables.config.countries, memory, &batch.core, rows.clone());
        let nets = batch.nets_mut();
        for (n, i) in rows.clone().enumerate() {
            nets.src_country[i] = memory.src[n] as u16;
            nets.dst_country[i] = memory.dst[n] as u16;
        }
    }
    if !tables.config.numbers.is_empty() {
        look_up(&tables.config.numbers, memory, &batch.core, rows.clone());
        number(tables.config.as_first, memory, &mut batch.core, rows);
    }
}

fn look_up(map: &PrefixMap, memory: &mut Memory, c: &CoreColumns, rows: Range<usize>) {
    map.get_all(&c.src_addr[rows.clone()], &mut memory.src);
    map.get_all(&c.dst_addr[rows], &mut memory.dst);
}

/// A number of the database in place of the exporter's, or where the exporter has none.
fn number(first: AsFirst, memory: &Memory, c: &mut CoreColumns, rows: Range<usize>) {
    for (n, i) in rows.enumerate() {
        let own = [(c.src_as[i], Field::SrcAs), (c.dst_as[i], Field::DstAs)];
        let found = [memory.src[n], memory.dst[n]];
        let mut numbers = [own[0].0, own[1].0];
        for ((number, (sent, field)), found) in numbers.iter_mut().zip(own).zip(found) {
            // 0 stands for networks without a number: such an answer says nothing
            let has_own = c.present[i] & field.bit() != 0 && sent != 0;
            if found != 0 && found != sent && (first == AsFirst::Database || !has_own) {
                *number = found;
                c.flags[i] |= RowFlags::AS_LOOKED_UP;
            }
        }
        (c.src_as[i], c.dst_as[i]) = (numbers[0], numbers[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::geo::tests::{Datum, database};
    use crate::enrich::{Memory, Settings, Tables, enrich};
    use crate::model::{Addr, Field, FlowBatch, Provenance, RowFlags, country};

    #[test]
    fn both_ends_are_located() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |n: &str| dir.path().join(n).display().to_string();
        let de = Datum::Map(vec![(
            "country",
            Datum::Map(vec![("iso_code", Datum::Text("DE"))]),
        )]);
        let number = Datum::Map(vec![("autonomous_system_number", Datum::Number(64_500))]);
        std::fs::write(path("c"), database(&[([10, 1, 0, 0], 16, de)])).expect("written");
        std::fs::write(path("a"), database(&[([10, 0, 0, 0], 8, number)])).expect("written");
        for (first, src_as, flagged) in [("database", 64_500, true), ("exporter", 3, true)] {
            let text = format!(
                "[networks]\nlist = [{{ prefix = \"10.1.2.0/24\", name = \"berlin\" }}]\ncountry_database = {:?}\nas_database = {:?}\nas_first = {first:?}",
                path("c"),
                path("a"),
            );
            let settings: Settings = toml::from_str(&text).expect("valid");
            let tables = Tables::new(&settings).expect("valid");
            let mut b = FlowBatch::new();
            b.push_provenance(Provenance::default());
            b.core.src_addr.push(Addr::from_v4([10, 1, 2, 3]));
            b.core.dst_addr.push(Addr::from_v4([10, 9, 9, 9]));
            b.core.src_as.push(3);
            b.core.present.push(Field::SrcAs.bit());
            b.commit(1);
            enrich(&tables, &mut Memory::new(), &mut b, 0..1);
            let nets = b.nets.as_ref().expect("located");
            assert_eq!(tables.names().networks.name(nets.src_net[0]), "berlin");
            assert_eq!(
                (
                    nets.dst_net[0],
                    country(nets.src_country[0]),
                    country(nets.dst_country[0])
                ),
                (0, "DE", "")
            );
            assert_eq!(
                (b.core.src_as[0], b.core.dst_as[0]),
                (src_as, 64_500),
                "{first}"
            );
            assert_eq!(b.core.flags[0] & RowFlags::AS_LOOKED_UP != 0, flagged);
        }
    }
}
