//! Lists of addresses and ports: nested, negated, with variables, as sorted ranges.
//!
//! What is negated is taken from what is not; a list of negated items only is taken from all addresses of their families. Brackets only
//! group, and the outermost ones may be left out: a `!` before one turns every item in it around, as in Suricata.

use super::settings::Settings;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sorted, disjoint ranges, both ends included. IPv4 addresses stand as `::ffff:a.b.c.d`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeSet {
    ranges: Vec<(u128, u128)>,
    all: bool,
    has_negation: bool,
}

impl RangeSet {
    /// Whether it holds everything.
    pub fn is_any(&self) -> bool {
        self.all
    }

    /// Whether an item of the list was negated.
    pub fn has_negation(&self) -> bool {
        self.has_negation
    }

    /// The ranges in order.
    pub fn ranges(&self) -> &[(u128, u128)] {
        &self.ranges
    }

    /// Whether it holds the value.
    pub fn contains(&self, value: u128) -> bool {
        if self.all {
            return true;
        }
        let after = self.ranges.partition_point(|r| r.0 <= value);
        after > 0 && value <= self.ranges[after - 1].1
    }

    /// How many values it holds.
    pub fn count(&self) -> u128 {
        let each = self.ranges.iter().map(|(from, to)| to - from);
        each.fold(0, |sum, n| sum.saturating_add(n).saturating_add(1))
    }

    /// Whether it holds the address.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.contains(key_of(address))
    }
}

/// What a list is made of.
pub(super) struct Kind<'a> {
    pub space_end: u128,
    /// Parts of the space that items are of, each in order: the families of addresses.
    pub parts: &'a [&'a [(u128, u128)]],
    pub item: fn(&str) -> Result<(u128, u128), String>,
    pub variable: &'a dyn Fn(&str) -> Option<&'a str>,
    pub noun: &'static str,
}

/// Reads a list; `Err` says what is wrong with it.
pub(super) fn parse(text: &str, kind: &Kind<'_>, settings: &Settings) -> Result<RangeSet, String> {
    let mut reader = Reader {
        kind,
        settings,
        positive: vec![],
        negative: vec![],
        any: false,
    };
    reader.list(text, false, 0)?;
    if reader.positive.is_empty() && !reader.any && reader.negative.is_empty() {
        return Err(format!("`{text}` is an empty list of {}", kind.noun));
    }
    let any = reader.any;
    let (positive, negative) = (merged(reader.positive), merged(reader.negative));
    if any && negative.is_empty() {
        return Ok(RangeSet {
            ranges: vec![(0, kind.space_end)],
            all: true,
            has_negation: false,
        });
    }
    let base = match (any, positive.is_empty()) {
        (true, _) => vec![(0, kind.space_end)],
        (false, false) => positive,
        // as in Suricata, what is said of one family says nothing of the other
        (false, true) => {
            let touched = |part: &&&[(u128, u128)]| {
                let within =
                    |(from, to): &(u128, u128)| part.iter().any(|p| p.0 <= *to && *from <= p.1);
                negative.iter().any(within)
            };
            merged(
                kind.parts
                    .iter()
                    .filter(touched)
                    .copied()
                    .flatten()
                    .copied()
                    .collect(),
            )
        }
    };
    let ranges = without(&base, &negative);
    if ranges.is_empty() {
        return Err(format!("nothing is left of the {} `{text}`", kind.noun));
    }
    Ok(RangeSet {
        ranges,
        all: false,
        has_negation: !negative.is_empty(),
    })
}

struct Reader<'a, 'k> {
    kind: &'a Kind<'k>,
    settings: &'a Settings,
    positive: Vec<(u128, u128)>,
    negative: Vec<(u128, u128)>,
    any: bool,
}

impl Reader<'_, '_> {
    fn list(&mut self, text: &str, negated: bool, depth: usize) -> Result<(), String> {
        if depth > self.settings.list_depth_max {
            let limit = self.settings.list_depth_max;
            return Err(format!(
                "lists and variables within each other more than {limit} deep (list_depth_max)"
            ));
        }
        let text = text.trim();
        if text.contains(',') {
            let items = items(text)?;
            if items.len() > 1 {
                let mut each = items.into_iter();
                return each.try_for_each(|item| self.list(item, negated, depth + 1));
            }
        }
        if let Some(rest) = text.strip_prefix('!') {
            if rest.trim_start().starts_with('!') {
                return Err(format!("`{text}` is negated twice"));
            }
            return self.list(rest, !negated, depth + 1);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or_else(|| format!("`{text}` has a `[` that is not closed"))?;
            for item in items(inner)? {
                self.list(item, negated, depth + 1)?;
            }
            return Ok(());
        }
        if let Some(name) = text.strip_prefix('$') {
            let value = (self.kind.variable)(name).ok_or_else(|| {
                format!(
                    "the variable ${name} has no {}; give them with --set {name}=...",
                    self.kind.noun
                )
            })?;
            return self.list(value, negated, depth + 1);
        }
        self.single(text, negated)
    }

    fn single(&mut self, text: &str, negated: bool) -> Result<(), String> {
        if text.eq_ignore_ascii_case("any") {
            if negated {
                return Err("`!any` leaves nothing".to_owned());
            }
            self.any = true;
            return Ok(());
        }
        let (from, to) = (self.kind.item)(text)?;
        let part = self
            .kind
            .parts
            .iter()
            .find(|p| p.iter().any(|r| r.0 <= from && from <= r.1));
        if self.positive.len() + self.negative.len() >= self.settings.list_items_max {
            let limit = self.settings.list_items_max;
            return Err(format!(
                "more than {limit} items in a list (list_items_max)"
            ));
        }
        let list = if negated {
            &mut self.negative
        } else {
            &mut self.positive
        };
        // `::/0` holds no address of IPv4, which stand within it
        let pieces = part.into_iter().copied().flatten();
        list.extend(
            pieces
                .map(|r| (r.0.max(from), r.1.min(to)))
                .filter(|r| r.0 <= r.1),
        );
        Ok(())
    }
}

/// Where addresses of IPv4 stand.
const V4: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// The families of addresses, as [`Kind::parts`].
pub(super) const FAMILIES: &[&[(u128, u128)]] = &[&[V4], &[(0, V4.0 - 1), (V4.1 + 1, u128::MAX)]];

/// The items of a list, commas in brackets left alone. One comma may stand behind the last, as for Suricata.
fn items(text: &str) -> Result<Vec<&str>, String> {
    let (mut items, mut depth, mut start) = (vec![], 0usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 0 => return Err(format!("`{text}` has a `]` too many")),
            b']' => depth -= 1,
            b',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    if items.len() > 1 && items.last().is_some_and(|i| i.trim().is_empty()) {
        items.pop();
    }
    match items.iter().position(|i| i.trim().is_empty()) {
        Some(_) => Err(format!("`[{text}]` has an empty item")),
        None => Ok(items),
    }
}

fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut out: Vec<(u128, u128)> = vec![];
    for (low, high) in ranges {
        match out.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

fn without(base: &[(u128, u128)], holes: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut out = vec![];
    for &(low, high) in base {
        let (mut low, mut open) = (low, true);
        for &(from, to) in holes {
            if to < low || from > high {
                continue;
            }
            if from > low {
                out.push((low, from - 1));
            }
            if to >= high {
                open = false;
                break;
            }
            low = to + 1;
        }
        if open {
            out.push((low, high));
        }
    }
    out
}

pub(super) fn key_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// An address, a network with a prefix length or a mask, or `first-last`.
pub(super) fn address_item(text: &str) -> Result<(u128, u128), String> {
    let fail = || format!("`{text}` is no address, network or range");
    let address = |t: &str| t.trim().parse::<IpAddr>().map_err(|_| fail());
    if let Some((first, last)) = text.split_once('-') {
        let (a, b) = (address(first)?, address(last)?);
        if a.is_ipv4() != b.is_ipv4() || a > b {
            return Err(fail());
        }
        return Ok((key_of(a), key_of(b)));
    }
    let Some((base, length)) = text.split_once('/') else {
        let key = key_of(address(text)?);
        return Ok((key, key));
    };
    let base = address(base)?;
    let bits = match (base, length.trim().parse::<Ipv4Addr>()) {
        (IpAddr::V4(_), Ok(mask)) => {
            let ones = u32::from(mask).leading_ones();
            if u32::from(mask).count_ones() != ones {
                return Err(format!("the mask of `{text}` has holes"));
            }
            ones
        }
        _ => length.trim().parse().map_err(|_| fail())?,
    };
    let bits = bits.checked_add(if base.is_ipv4() { 96 } else { 0 });
    let host = 128u32
        .checked_sub(bits.ok_or_else(fail)?)
        .ok_or_else(fail)?;
    let hosts = u128::MAX.checked_shr(128 - host).unwrap_or(0);
    let low = key_of(base) & !hosts;
    Ok((low, low | hosts))
}

/// A port or `first:last`, where one end may be left out.
pub(super) fn port_item(text: &str) -> Result<(u128, u128), String> {
    let port = |t: &str, empty: u16| match t.trim() {
        "" => Ok(empty),
        t => t
            .parse()
            .map_err(|_| format!("`{text}` is no port or range of ports")),
    };
    let (low, high) = match text.split_once(':') {
        Some((a, b)) if a.trim().is_empty() && b.trim().is_empty() => {
            return Err(format!("`{text}` is no range of ports"));
        }
        Some((a, b)) => (port(a, 0)?, port(b, u16::MAX)?),
        None if text.is_empty() => return Err("a port is missing".to_owned()),
        None => (port(text, 0)?, port(text, 0)?),
    };
    if low > high {
        return Err(format!("`{text}` ends before it begins"));
    }
    Ok((low.into(), high.into()))
}

/// The address of a key.
pub(super) fn address_of(key: u128) -> IpAddr {
    let v6 = Ipv6Addr::from(key);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}
