//! Templates that one session lends another: the one rule of the decoder and of `inspect` (contracts section 4).

use super::raw::divides;
use super::template::Template;

/// What a session that never announced a template may decode `body` with: the layout for its id that every other session of
/// its exporter, version and domain has (`None` in `others`: one that announced templates and lacks this one), if all are
/// identical and the set divides into whole records.
pub(super) fn lent<T>(
    others: impl Iterator<Item = Option<T>>,
    layout: impl Fn(&T) -> &Template,
    body: &[u8],
) -> Option<T> {
    agreed(others, &layout).filter(|one| divides(layout(one), body))
}

/// The layout that all have, whatever it is to decode.
pub(super) fn agreed<T>(
    mut others: impl Iterator<Item = Option<T>>,
    layout: impl Fn(&T) -> &Template,
) -> Option<T> {
    let one = others.next()??;
    let same = |other: Option<T>| other.is_some_and(|o| layout(&o) == layout(&one));
    others.all(same).then_some(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::template::{FieldSpec, TemplateHeader, VARIABLE};

    fn template(lengths: &[u16]) -> Template {
        let header = TemplateHeader {
            id: 256,
            version: 10,
            options: false,
        };
        let field = |&length| FieldSpec {
            pen: 0,
            element: 82,
            length,
            scope: false,
        };
        let fields: Vec<FieldSpec> = lengths.iter().map(field).collect();
        Template::new(&header, &fields)
    }

    #[test]
    fn all_must_have_it_and_agree() {
        let (a, b) = (template(&[4]), template(&[2, 2]));
        let lends =
            |others: &[Option<&Template>]| lent(others.iter().copied(), |t| *t, &[1; 4]).is_some();
        assert!(lends(&[Some(&a)]) && lends(&[Some(&a), Some(&a)]));
        assert!(!lends(&[]) && !lends(&[Some(&a), None]) && !lends(&[None, Some(&a)]));
        assert!(!lends(&[Some(&a), Some(&b)]));
    }

    #[test]
    fn a_set_of_whole_records_may_end_in_padding_of_any_bytes() {
        let whole = |t: &Template, body: &[u8]| lent([Some(t)].into_iter(), |t| *t, body).is_some();
        let (fixed, variable) = (template(&[4]), template(&[VARIABLE, 4]));
        assert!(whole(&fixed, &[1; 4]) && whole(&fixed, &[1; 7]));
        assert!(!whole(&fixed, &[1; 3]) && !whole(&fixed, &[]));
        assert!(whole(&variable, &[1, 9, 0, 0, 0, 1, 7, 7, 7, 7]));
        // the second record says that it is longer than what is left
        assert!(!whole(&variable, &[1, 9, 0, 0, 0, 1, 7, 7, 7, 7, 7]));
    }
}
