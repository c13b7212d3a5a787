//! How far a sum can be trusted, in four bytes.

/// The variance that sampling causes in estimated bytes, and whether some sampling interval was not known: a number and, for it is never
/// negative, its sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt(u32);

impl Doubt {
    /// Of a part; the variance is in bytes squared.
    #[inline(always)]
    pub fn new(variance: f64, unknown: bool) -> Doubt {
        let variance = (variance as f32).min(f32::MAX);
        Doubt(variance.to_bits() & !UNKNOWN | u32::from(unknown) << 31)
    }

    /// The variance, bytes squared.
    pub fn variance(self) -> f64 {
        self.number().into()
    }

    /// Whether some interval was not known.
    pub fn is_unknown(self) -> bool {
        self.0 & UNKNOWN != 0
    }

    /// Of both parts together.
    #[inline(always)]
    pub fn and(self, part: Doubt) -> Doubt {
        let sum = (self.number() + part.number()).min(f32::MAX);
        Doubt(sum.to_bits() | (self.0 | part.0) & UNKNOWN)
    }

    /// Without a part that it has.
    pub fn without(self, part: Doubt) -> Doubt {
        let rest = (self.number() - part.number()).max(0.0);
        Doubt(rest.to_bits() & !UNKNOWN | self.0 & UNKNOWN)
    }

    #[inline(always)]
    fn number(self) -> f32 {
        f32::from_bits(self.0 & !UNKNOWN)
    }
}

/// The sign.
const UNKNOWN: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_add_up_and_what_is_unknown_stays() {
        let (a, b) = (Doubt::new(9.0, false), Doubt::new(16.0, true));
        assert_eq!((a.variance(), a.is_unknown()), (9.0, false));
        let both = a.and(b);
        assert_eq!((both.variance(), both.is_unknown()), (25.0, true));
        let rest = both.without(b);
        assert_eq!((rest.variance(), rest.is_unknown()), (9.0, true));
        assert_eq!(a.without(b), Doubt::default());
        assert_eq!(Doubt::default().and(Doubt::new(0.0, true)).variance(), 0.0);
        // the largest that an exporter can claim, and no infinity
        let most = Doubt::new(f64::MAX, false);
        assert_eq!(most.and(most).variance(), f64::from(f32::MAX));
        assert_eq!(Doubt::new(f64::NAN, true).variance(), f64::from(f32::MAX));
    }
}
