//! What slow detectors know, over a restart: a framed, checked list of bytes.
//!
//! Kept are: who scans, who guesses slowly, beacons, long connections, sums of uploads with what is usual and which places are known, doors that were opened, controllers, services, volume,
//! exporters, the use of policies, names of numbers, and the incidents that are open, so that one that goes on is told with a later version that says no less.
//! Not kept: what lives for minutes (floods, sprays, DNS, ARP, echo messages).

use super::keep::{Kept, seal, unseal};
use super::{Detectors, Settings};

impl Detectors {
    /// Everything that outlives a restart.
    pub fn save(&self) -> Vec<u8> {
        let mut out = vec![];
        self.settings.hash_seed.put(&mut out);
        self.now_ms.put(&mut out);
        let p = &self.parts;
        self.names.put(&mut out);
        self.incidents.put(&mut out);
        p.scan.put(&mut out);
        p.brute_force.put(&mut out);
        p.lateral.put(&mut out);
        p.beacon.put(&mut out);
        p.long.put(&mut out);
        p.upload.put(&mut out);
        p.service.put(&mut out);
        p.volume.put(&mut out);
        p.silent.put(&mut out);
        p.policy.put(&mut out);
        seal(&out)
    }

    /// Detectors that go on from what was saved. Hashes need the key of then, so that of `settings` does not count.
    ///
    /// # Errors
    /// When the settings cannot be so, or the bytes are damaged or of another version.
    pub fn restore(settings: &Settings, bytes: &[u8]) -> Result<Self, String> {
        let mut from = unseal(bytes)?;
        let torn = || "it does not hold what it should".to_owned();
        let hash_seed = Kept::get(&mut from).ok_or_else(torn)?;
        let settings = Settings {
            hash_seed,
            ..settings.clone()
        };
        let mut detectors = Detectors::new(&settings)?;
        detectors.read(&mut from).ok_or_else(torn)?;
        match from.is_empty() {
            true => Ok(detectors),
            false => Err(torn()),
        }
    }

    fn read(&mut self, from: &mut &[u8]) -> Option<()> {
        let now_ms = i64::get(from)?;
        let (p, keyed) = (&mut self.parts, &self.keyed);
        self.names.get_all(from)?;
        self.incidents.get(from)?;
        p.scan.get(keyed, from)?;
        p.brute_force.get(keyed, from)?;
        p.lateral.get(keyed, from)?;
        p.beacon.get(keyed, from)?;
        p.long.get(keyed, from)?;
        p.upload.get(keyed, from)?;
        p.service.get(keyed, from)?;
        p.volume.get(from)?;
        p.silent.get(from)?;
        p.policy.get(keyed, from)?;
        self.now_ms = now_ms;
        self.second = match now_ms {
            i64::MIN => i64::MIN,
            ms => ms.div_euclid(1_000),
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FlowSeen, Seen, Side, Sighting, keep};
    use super::*;
    use crate::model::{Addr, Handshake, RowPlace};

    fn call(n: i64) -> Sighting {
        let start_ms = 1_700_000_000_000 + n * 60_000;
        Sighting {
            place: RowPlace::at(1),
            now_ms: start_ms + 1_000,
            seen: Seen::Flow(FlowSeen {
                src: Addr::from_v4([10, 0, 0, 9]),
                dst: Addr::from_v4([198, 51, 100, 7]),
                src_port: 40_000,
                dst_port: 443,
                proto: 6,
                bytes: 1_400,
                packets: 9,
                back_bytes: Some(2_000),
                back_packets: 9,
                start_ms,
                end_ms: start_ms + 300,
                handshake: Handshake::Complete,
                side: Side::Initiator,
                metered: true,
                ..FlowSeen::default()
            }),
        }
    }

    #[test]
    fn a_beacon_is_found_over_a_restart() {
        let settings = Settings {
            hash_seed: 77,
            ..Settings::default()
        };
        let mut before = Detectors::new(&settings).expect("defaults");
        (0..5).for_each(|n| before.observe(&call(n)));
        let saved = before.save();
        assert_eq!(saved, before.save(), "the same state is the same bytes");
        let mut after = Detectors::restore(&Settings::default(), &saved).expect("state");
        assert_eq!(after.save(), saved);
        (5..9).for_each(|n| after.observe(&call(n)));
        after.finish();
        let found = after.take();
        assert!(found.iter().any(|d| d.kind.name() == "beacon"), "{found:?}");
        // without it there are too few
        let mut fresh = Detectors::new(&settings).expect("defaults");
        (5..9).for_each(|n| fresh.observe(&call(n)));
        fresh.finish();
        assert!(fresh.take().is_empty());
    }

    #[test]
    fn an_incident_that_goes_on_has_a_later_version() {
        let mut before = Detectors::new(&Settings::default()).expect("defaults");
        (0..9).for_each(|n| before.observe(&call(n)));
        let saved = before.save();
        before.finish();
        let old = before.take().pop().expect("a beacon");
        let mut after = Detectors::restore(&Settings::default(), &saved).expect("state");
        (9..12).for_each(|n| after.observe(&call(n)));
        after.finish();
        let new = after.take().pop().expect("the beacon");
        assert_eq!(new.id, old.id);
        assert!(new.version > old.version);
        // as if there had been no restart
        let mut whole = Detectors::new(&Settings::default()).expect("defaults");
        (0..12).for_each(|n| whole.observe(&call(n)));
        whole.finish();
        let expected = crate::model::Detection {
            version: new.version,
            ..whole.take().pop().expect("a beacon")
        };
        assert_eq!(new, expected);
        assert_eq!(
            (new.count, new.detected_ms),
            (old.count + 3, old.detected_ms)
        );
    }

    #[test]
    fn the_budget_of_a_day_is_that_of_the_day() {
        let settings = Settings {
            incidents_per_day_max: 1,
            ..Settings::default()
        };
        let mut before = Detectors::new(&settings).expect("defaults");
        (0..9).for_each(|n| before.observe(&call(n)));
        before.settle();
        let mut after = Detectors::restore(&settings, &before.save()).expect("state");
        let other = |n: i64| {
            let mut s = call(n);
            if let Seen::Flow(f) = &mut s.seen {
                f.src = Addr::from_v4([10, 0, 0, 77]);
            }
            s
        };
        (10..20).for_each(|n| after.observe(&other(n)));
        after.finish();
        assert!(after.take().is_empty());
        assert!(after.held_back() > 0);
        // the next day has its own
        (1_440..1_450).for_each(|n| after.observe(&other(n)));
        after.finish();
        assert!(!after.take().is_empty());
    }

    /// One of each that is kept: where this changes, so must the version.
    #[test]
    fn the_form_of_what_is_written_is_that_of_its_version() {
        let mut detectors = Detectors::new(&Settings::default()).expect("defaults");
        let with = |n: i64, change: &dyn Fn(&mut FlowSeen)| {
            let mut s = call(n);
            if let Seen::Flow(f) = &mut s.seen {
                change(f);
            }
            s
        };
        let server = Addr::from_v4([10, 0, 0, 80]);
        // guesses, and doors of two hosts
        for n in 0..9 {
            let guess = |f: &mut FlowSeen| {
                let host = Addr::from_v4([10, 0, 0, 80 + (n % 2) as u8]);
                (f.dst, f.dst_port, f.back_bytes) = (host, 22, Some(1_200));
            };
            detectors.observe(&with(n, &guess));
        }
        for n in 0..9 {
            detectors.observe(&call(n));
            // contacts that fail, and a connection that lasts
            let failed = |f: &mut FlowSeen| {
                (f.dst, f.dst_port, f.proto) = (server, 7_000 + n as u16, 17);
                (f.packets, f.back_packets, f.back_bytes) = (1, 0, Some(0));
            };
            detectors.observe(&with(n, &failed));
            let lasts = |f: &mut FlowSeen| {
                (f.dst_port, f.goes_on) = (8_443, true);
                f.end_ms = f.start_ms + 3_600_000;
            };
            detectors.observe(&with(60 * n, &lasts));
            // a controller
            let asks = |f: &mut FlowSeen| {
                (f.src, f.dst, f.dst_port) = (Addr::from_v4([10, 0, 1, n as u8]), server, 88);
            };
            detectors.observe(&with(n, &asks));
        }
        let of = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut out = vec![];
            put(&mut out);
            out.len()
        };
        let p = &detectors.parts;
        let lengths = [
            of(&|out| detectors.incidents.put(out)),
            of(&|out| p.scan.put(out)),
            of(&|out| p.brute_force.put(out)),
            of(&|out| p.lateral.put(out)),
            of(&|out| p.beacon.put(out)),
            of(&|out| p.long.put(out)),
            of(&|out| p.upload.put(out)),
            of(&|out| p.service.put(out)),
            of(&|out| p.volume.put(out)),
            of(&|out| p.silent.put(out)),
            of(&|out| p.policy.put(out)),
        ];
        assert_eq!(
            (keep::VERSION, lengths),
            (
                10,
                [
                    1431, 3617, 1924, 262_413, 1_050_660, 85, 1_048_624, 1_049_372, 1829, 8, 32
                ]
            )
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let saved = Detectors::new(&Settings::default())
            .expect("defaults")
            .save();
        assert!(Detectors::restore(&Settings::default(), &saved[..saved.len() - 1]).is_err());
        let mut wrong = saved.clone();
        wrong[40] ^= 1;
        assert!(Detectors::restore(&Settings::default(), &wrong).is_err());
        assert!(Detectors::restore(&Settings::default(), b"").is_err());
    }
}
