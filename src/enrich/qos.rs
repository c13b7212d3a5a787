//! DSCP to QoS class: RFC 4594 figure 3, with RFC 5865 (VOICE-ADMIT) and RFC 8622 (LE).

use super::{Error, Qos, slug::Slug};
use crate::model::NameTable;

/// The class ids of the 64 code points; fills `classes` with their names.
pub fn class_table(settings: &Qos, classes: &mut NameTable) -> Result<[u16; 64], Error> {
    let unmapped = class_id(classes, "qos.unmapped", &settings.unmapped)?;
    let mut table = [unmapped; 64];
    for (class, points) in RFC4594 {
        let id = class_id(classes, "qos.dscp", class)?;
        points.iter().for_each(|&p| table[p as usize] = id);
    }
    for (point, class) in &settings.dscp {
        let dscp = dscp(point).ok_or_else(|| Error::Dscp(point.clone()))?;
        table[dscp as usize] = class_id(classes, "qos.dscp", class)?;
    }
    Ok(table)
}

/// The id of a class, made when it is new. There are at most 64 + 13 of them.
fn class_id(classes: &mut NameTable, key: &'static str, name: &str) -> Result<u16, Error> {
    let slug = Slug::new(name.as_bytes());
    let slug = slug.as_str();
    if slug.is_empty() {
        return Err(Error::EmptyName {
            key,
            name: name.into(),
        });
    }
    let found = classes.iter().position(|c| c == slug);
    let id = found.map_or_else(|| classes.push(slug), |id| id as u32);
    Ok(id as u16)
}

/// A code point by number or by name.
fn dscp(text: &str) -> Option<u8> {
    if let Ok(n) = text.parse::<u8>() {
        return (n < 64).then_some(n);
    }
    let digit = |b: u8, max: u8| (b'0'..=max).contains(&b).then(|| b - b'0');
    match text.to_ascii_uppercase().as_bytes() {
        b"EF" => Some(46),
        b"VA" | b"VOICE-ADMIT" => Some(44),
        b"LE" => Some(1),
        b"DF" | b"BE" => Some(0),
        [b'C', b'S', n] => digit(*n, b'7').map(|n| n << 3),
        [b'A', b'F', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
            Some((class - b'0') << 3 | (drop - b'0') << 1)
        }
        _ => None,
    }
}

/// RFC 4594 figure 3. CS7 is kept for network control (section 3.1), VOICE-ADMIT is telephony (RFC 5865), LE is the
/// lower effort that CS1 was (RFC 8622).
const RFC4594: &[(&str, &[u8])] = &[
    ("network-control", &[48, 56]),
    ("telephony", &[46, 44]),
    ("signaling", &[40]),
    ("multimedia-conferencing", &[34, 36, 38]),
    ("real-time-interactive", &[32]),
    ("multimedia-streaming", &[26, 28, 30]),
    ("broadcast-video", &[24]),
    ("low-latency-data", &[18, 20, 22]),
    ("oam", &[16]),
    ("high-throughput-data", &[10, 12, 14]),
    ("low-priority-data", &[8, 1]),
    ("standard", &[0]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn table(settings: &Qos) -> Result<(Vec<String>, NameTable), Error> {
        let mut classes = NameTable::new("none");
        let ids = class_table(settings, &mut classes)?;
        let names = ids.iter().map(|&i| classes.name(i.into()).into()).collect();
        Ok((names, classes))
    }

    #[test]
    fn defaults_are_those_of_rfc4594() {
        let (names, classes) = table(&Qos::default()).expect("defaults are valid");
        assert_eq!(names[46], "telephony");
        assert_eq!(names[48], "network-control");
        assert_eq!(names[34], "multimedia-conferencing");
        assert_eq!(names[0], "standard");
        assert_eq!(names[63], "standard", "unknown code points are the default");
        assert_eq!(classes.len(), 13);
    }

    #[test]
    fn the_map_can_be_changed() {
        let mut qos = Qos {
            unmapped: "Best Effort".into(),
            ..Qos::default()
        };
        qos.dscp.insert("af41".into(), "Video".into());
        qos.dscp.insert("5".into(), "crm".into());
        let (names, _) = table(&qos).expect("valid");
        assert_eq!((&*names[34], &*names[5]), ("video", "crm"));
        assert_eq!(
            (&*names[36], &*names[63]),
            ("multimedia-conferencing", "best-effort")
        );
        qos.dscp.insert("64".into(), "x".into());
        assert_eq!(table(&qos).err(), Some(Error::Dscp("64".into())));
    }

    #[test]
    fn code_points_have_names() {
        for (text, n) in [
            ("CS6", 48),
            ("cs0", 0),
            ("AF11", 10),
            ("AF43", 38),
            ("EF", 46),
            ("le", 1),
        ] {
            assert_eq!(dscp(text), Some(n), "{text}");
        }
        for text in ["AF44", "AF01", "CS8", "", "-1", "256"] {
            assert_eq!(dscp(text), None, "{text}");
        }
    }
}
