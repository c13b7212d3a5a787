//! Which of the exporters that see the same traffic counts.

use super::Error;
use super::error::Faults;
use super::settings::{CountedSide, ObservationPoint, Settings};
use crate::model::{Addr, Learned};
use std::collections::BTreeMap;

/// The observation points of the settings, as the store is told. Immutable once built.
#[derive(Debug, Default)]
pub struct ObservationPoints(BTreeMap<Addr, (u32, CountedSide)>);

impl ObservationPoints {
    /// Those of the settings.
    ///
    /// # Errors
    /// When there are too many, or an exporter has two.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let points = &settings.observation_points;
        let (key, count, max) = ("observation_points", points.len(), POINTS_MAX);
        if count > max {
            return Err(Error::TooMany { key, count, max });
        }
        let mut faults = Faults::default();
        let mut all = BTreeMap::new();
        for written in points {
            let p = written.get_ref();
            let (exporter, at) = (Addr::from(p.exporter), written.span().start);
            let message = if exporter.is_unspecified() {
                format!("{} is no exporter", p.exporter)
            } else if all.insert(exporter, (p.priority, p.side)).is_some() {
                format!("{} is there twice: which of them holds?", p.exporter)
            } else {
                continue;
            };
            faults.add(Error::At { at, message });
        }
        faults.end(ObservationPoints(all))
    }

    /// What the store is told: the one for all others is always among them, so the latest writing is never empty.
    pub fn declared(&self) -> impl Iterator<Item = Learned> {
        let default = (ObservationPoint::PRIORITY, CountedSide::default());
        let others = [(Addr::UNSPECIFIED, default)];
        let own = self.0.iter().map(|(e, p)| (*e, *p));
        own.chain(others)
            .map(|(exporter, (priority, side))| Learned::ObservationPoint {
                exporter,
                priority,
                side: side.name(),
            })
    }
}

/// Most observation points in the settings.
const POINTS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Result<Vec<String>, Error> {
        let settings: Settings = toml::from_str(text).expect("settings");
        let points = ObservationPoints::new(&settings)?;
        let text = |l| match l {
            Learned::ObservationPoint {
                exporter,
                priority,
                side,
            } => format!("{exporter} {priority} {side}"),
            other => panic!("{other:?}"),
        };
        Ok(points.declared().map(text).collect())
    }

    #[test]
    fn there_is_always_one_for_all_others() {
        assert_eq!(points("").expect("none"), [":: 100 ingress"]);
        let two = "[[observation_points]]\nexporter = \"192.0.2.1\"\npriority = 10\n\
                   [[observation_points]]\nexporter = \"2001:db8::1\"\nside = \"none\"\n";
        let mut told = points(two).expect("two");
        told.sort();
        let expected = [
            "192.0.2.1 10 ingress",
            "2001:db8::1 100 none",
            ":: 100 ingress",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_exporter_has_one_place() {
        let one = "[[observation_points]]\nexporter = \"192.0.2.1\"\n";
        let twice = points(&one.repeat(2)).expect_err("twice").to_string();
        assert!(twice.contains("192.0.2.1 is there twice"), "{twice}");
        let nobody = points(&one.replace("192.0.2.1", "::")).expect_err("nobody");
        assert!(nobody.to_string().contains("is no exporter"), "{nobody}");
        assert!(toml::from_str::<Settings>(&one.replace("exporter", "exportr")).is_err());
        let side = format!("{one}side = \"both\"\n");
        assert!(toml::from_str::<Settings>(&side).is_err());
    }
}
