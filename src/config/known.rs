//! Which keys there are, by the sample configuration, and where one belongs that stands in the wrong place.

/// The sample shows every key, and a test holds it equal to the code.
pub(super) const SAMPLE: &str = include_str!("../../deploy/flowhouse.toml");

/// Most places that are named for one key.
const PLACES_MAX: usize = 3;

/// A key of the sample with the header that it stands below, as it is written there; `None` above the first one.
fn keys() -> impl Iterator<Item = (Option<&'static str>, &'static str)> {
    let mut header = None;
    SAMPLE.lines().filter_map(move |line| {
        let line = line.trim_start_matches('#').strip_prefix(' ')?;
        if line.starts_with('[') && line.ends_with(']') {
            header = Some(line);
            return None;
        }
        let (key, _) = line.split_once(" = ")?;
        is_plain(key).then_some((header, key))
    })
}

/// Names of tables, each with its header.
fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let headers = keys().filter_map(|(header, _)| header);
    headers.filter_map(|h| Some((h.trim_matches(['[', ']']).rsplit('.').next()?, h)))
}

/// What to do about a key or table that is unknown where it stands, if it is known elsewhere.
pub(super) fn belongs(name: &str) -> Option<String> {
    let below = keys()
        .filter(|(_, key)| *key == name)
        .map(|(header, _)| match header {
            Some(header) => format!("below {header}"),
            None => "above the first table".to_owned(),
        });
    let named = tables()
        .filter(|(table, _)| *table == name)
        .map(|(_, header)| format!("into {header}"));
    let mut places: Vec<String> = below.chain(named).collect();
    places.dedup();
    places.truncate(PLACES_MAX);
    (!places.is_empty()).then(|| format!("`{name}` belongs {}", places.join(" or ")))
}

/// The known key that is nearest to an unknown one, wherever it stands.
pub(super) fn like(name: &str) -> Option<String> {
    let near = |key: &str| strsim::jaro_winkler(key, name);
    let (_, best) = keys().max_by(|(_, a), (_, b)| near(a).total_cmp(&near(b)))?;
    let is_near = near(best) > NEAR;
    is_near.then(|| belongs(best)).flatten()
}

fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !key.is_empty() && key.chars().all(plain)
}

/// How like two names have to be, from 0 to 1, where nothing else speaks for it.
const NEAR: f64 = 0.93;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_to_its_table() {
        for (name, place) in [
            ("listeners", "`listeners` belongs below [receive]"),
            ("state_dir", "`state_dir` belongs above the first table"),
            ("qos", "`qos` belongs into [enrich.qos]"),
            (
                "queue_max",
                "`queue_max` belongs below [sink] or below [spool] or below [notify]",
            ),
        ] {
            assert_eq!(belongs(name).as_deref(), Some(place));
        }
        assert_eq!(belongs("listener"), None);
        assert_eq!(like("listener"), belongs("listeners"));
        assert_eq!(like("xyz"), None);
    }
}
