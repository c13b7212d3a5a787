//! QoS classes at both ends of an exporter: what came in, and what left.

use super::memory::Remembered;
use super::passes::run;
use super::qos::{Policies, Where};
use super::{Memory, Tables};
use crate::model::{Field, FlowBatch, RowFlags};
use std::ops::Range;

/// Classes by the policies of interfaces: of the ingress interface by the DSCP that came, and where it is another one, of the egress
/// interface by the DSCP that left. Flags rows whose DSCP was changed in between. Before, rows have the class of the policy that
/// holds where no other one does.
pub fn by_policy(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let policies = &tables.config.policies;
    if !policies.differ() {
        if batch.link.is_some() {
            rows.for_each(|i| leave(policies, batch, i, 0));
        }
        return;
    }
    let mut at = rows.start;
    while at < rows.end {
        let run = run(batch, at, rows.end);
        at = run.end;
        let exporter = batch.provenance_of(run.start).exporter;
        let default = policies.of(&Where {
            exporter: &exporter,
            if_index: 0,
            role: "",
            site: "",
        });
        let remembered = &*memory.of(&exporter);
        let (mut came, mut left) = ((0, default), (0, default));
        for i in run {
            let c = &mut batch.core;
            let policy = policy(remembered, &mut came, c.in_if[i], default);
            let sent = (c.present[i] >> Field::Tos as u8 & 1) as u16;
            let classes = &policies.class_of[usize::from(policy)];
            c.qos_class[i] = classes[usize::from(c.tos[i] >> 2)] * sent;
            let policy = self::policy(remembered, &mut left, c.out_if[i], default);
            leave(policies, batch, i, policy);
        }
    }
}

/// The policy of an interface; `last` is the one asked for before.
#[inline(always)]
fn policy(remembered: &Remembered, last: &mut (u32, u8), if_index: u32, default: u8) -> u8 {
    if last.0 != if_index {
        let known = remembered.policy(if_index);
        *last = (if_index, known.unwrap_or(default));
    }
    last.1
}

/// The class with which a row left, and whether its DSCP was another one by then.
#[inline(always)]
fn leave(policies: &Policies, batch: &mut FlowBatch, i: usize, policy: u8) {
    let c = &mut batch.core;
    let sent = |f: Field| c.present[i] & f.bit() != 0;
    let (came, changed) = (sent(Field::Tos), sent(Field::PostTos));
    let dscp = match &batch.link {
        Some(link) if changed => link.post_tos[i] >> 2,
        _ => c.tos[i] >> 2,
    };
    if came && changed && dscp != c.tos[i] >> 2 {
        c.flags[i] |= RowFlags::REMARKED;
    }
    let class = policies.class_of[usize::from(policy)][usize::from(dscp)];
    if c.out_if[i] != 0 && (came || changed) && class != c.qos_class[i] {
        batch.egress_mut().egress_class[i] = class;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{Settings, enrich, learn_interfaces};
    use crate::model::{Addr, Provenance};

    const VOICE: u8 = 46;
    const VIDEO: u8 = 34;

    /// Rows of (ingress, egress, DSCP that came, DSCP that left).
    fn batch(rows: &[(u32, u32, Option<u8>, Option<u8>)]) -> FlowBatch {
        let mut b = FlowBatch::new();
        let provenance = b.push_provenance(Provenance {
            exporter: Addr::from_v4([192, 0, 2, 1]),
            ..Provenance::default()
        });
        for &(in_if, out_if, came, left) in rows {
            let bit = |dscp: Option<u8>, f: Field| if dscp.is_some() { f.bit() } else { 0 };
            let c = &mut b.core;
            c.provenance.push(provenance);
            c.in_if.push(in_if);
            c.out_if.push(out_if);
            c.tos.push(came.unwrap_or(0) << 2 | 1);
            c.present
                .push(bit(came, Field::Tos) | bit(left, Field::PostTos));
            if let Some(left) = left {
                b.link_mut().post_tos.push(left << 2);
            }
            b.commit(1);
        }
        b
    }

    /// Classes that came and left, as they are stored, and whether the DSCP changed.
    fn classes(
        text: &str,
        rows: &[(u32, u32, Option<u8>, Option<u8>)],
    ) -> Vec<(String, String, bool)> {
        let settings: Settings = toml::from_str(text).expect("readable");
        let t = Tables::new(&settings).expect("valid");
        let (mut m, mut b) = (Memory::new(), batch(rows));
        learn_interfaces(&t, &mut m, &b, 0..99, &mut vec![]);
        enrich(&t, &mut m, &mut b, 0..99);
        let name = |id: u16| match id {
            0 => String::new(),
            id => t.names().classes.name(id.into()).to_owned(),
        };
        (0..b.len())
            .map(|i| {
                let left = b.egress.as_ref().map_or(0, |e| e.egress_class[i]);
                let changed = b.core.flags[i] & RowFlags::REMARKED != 0;
                (name(b.core.qos_class[i]), name(left), changed)
            })
            .collect()
    }

    fn row(came: &str, left: &str, changed: bool) -> (String, String, bool) {
        (came.into(), left.into(), changed)
    }

    #[test]
    fn each_side_has_the_class_of_its_policy_and_its_marking() {
        let text = r#"
            interfaces = [{ exporter = "192.0.2.1", index = 2, name = "wan0", role = "wan" }]
            [[qos.policies]]
            name = "wan"
            preset = "4-class"
            roles = ["wan"]"#;
        let got = classes(
            text,
            &[
                (1, 2, Some(VOICE), None),
                (2, 1, Some(VOICE), None),
                (1, 2, Some(VOICE), Some(0)),
                (1, 1, Some(VOICE), Some(VOICE)),
                (1, 0, Some(VOICE), Some(0)),
                (1, 2, None, Some(VOICE)),
                (1, 2, None, None),
            ],
        );
        assert_eq!(
            got,
            [
                row("telephony", "real-time", false),
                row("real-time", "telephony", false),
                row("telephony", "best-effort", true),
                row("telephony", "", false),
                row("telephony", "", true),
                row("", "real-time", false),
                row("", "", false),
            ]
        );
    }

    #[test]
    fn with_one_policy_only_a_changed_marking_is_another_class() {
        let got = classes(
            "",
            &[
                (1, 2, Some(VOICE), Some(VOICE)),
                (1, 2, Some(VOICE), Some(VIDEO)),
                (1, 2, Some(VIDEO), None),
            ],
        );
        assert_eq!(got[0], row("telephony", "", false));
        let [_, (came, left, true), last] = &got[..] else {
            panic!("{got:?}")
        };
        assert_eq!((came.as_str(), last.1.as_str()), ("telephony", ""));
        assert_eq!(*left, last.0, "the class of the marking that left");
        assert!(classes("", &[(1, 2, Some(VOICE), None)])[0].1.is_empty());
    }
}
