//! Names as we write them: lower case, words joined by dashes, at most 64 bytes.

/// Most bytes of a learned name.
pub const NAME_MAX: usize = 64;

/// A name in a buffer of its own, so that a lookup allocates nothing.
pub struct Slug {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Slug {
    /// Letters and digits in lower case; any run of others becomes one dash, none at the ends. Cut to 64 bytes.
    /// Bytes that are no UTF-8 separate words, too.
    pub fn new(name: &[u8]) -> Slug {
        let mut slug = Slug {
            bytes: [0; NAME_MAX],
            len: 0,
        };
        let mut dash = false;
        for chunk in name.utf8_chunks() {
            for c in chunk.valid().chars() {
                if !c.is_alphanumeric() {
                    dash = slug.len > 0;
                } else if !slug.append(std::mem::take(&mut dash), c) {
                    return slug;
                }
            }
            dash |= slug.len > 0 && !chunk.invalid().is_empty();
        }
        slug
    }

    /// The name; empty when there was no letter or digit.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Appends all or nothing of a dash and a letter.
    fn append(&mut self, dash: bool, c: char) -> bool {
        let before = self.len;
        let fits = (!dash || self.push('-')) && c.to_lowercase().all(|l| self.push(l));
        if !fits {
            self.len = before;
        }
        fits
    }

    fn push(&mut self, c: char) -> bool {
        let n = c.len_utf8();
        let fits = self.len + n <= NAME_MAX;
        if fits {
            c.encode_utf8(&mut self.bytes[self.len..]);
            self.len += n;
        }
        fits
    }
}

/// The longest prefix of at most 64 bytes that ends between characters.
pub fn cut(name: &str) -> &str {
    let mut ends = (0..=NAME_MAX.min(name.len())).rev();
    let end = ends.find(|&i| name.is_char_boundary(i));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slugs() {
        for (name, slug) in [
            ("MS-Teams", "ms-teams"),
            ("  Google Services! ", "google-services"),
            ("ms_teams//audio", "ms-teams-audio"),
            ("é\u{0}È", "é-è"),
            ("---", ""),
            ("", ""),
        ] {
            assert_eq!(Slug::new(name.as_bytes()).as_str(), slug, "{name:?}");
        }
        assert_eq!(Slug::new(b"a\xff\xfeb").as_str(), "a-b");
        assert_eq!(Slug::new(&[b'x'; 300]).as_str().len(), 64);
        assert_eq!(Slug::new("ä".repeat(40).as_bytes()).as_str().len(), 64);
        let odd = format!("a{}", "ä".repeat(40));
        assert_eq!(Slug::new(odd.as_bytes()).as_str().len(), 63);
        assert_eq!(cut(&odd).len(), 63);
        assert_eq!(cut("eth0"), "eth0");
    }
}
