//! How much a name can carry, label by label.
//!
//! What is encoded (hex, base32, base64) says something new with each character, what is written in words about one bit a letter (Shannon, 1951,
//! "Prediction and Entropy of Printed English"), and parts of addresses, or the places that services have below a domain (RFC 8552), nothing.

/// What a name before its domain can carry, in eighths of a byte.
pub(super) fn weight(before: &[u8]) -> u32 {
    let labels = before.split(|b| *b == b'.').filter(|l| !is_place(l));
    labels
        .filter(|l| !is_number(l))
        .flat_map(|l| l.split(|b| matches!(b, b'-' | b'_')))
        .map(of_word)
        .fold(0, u32::saturating_add)
}

/// Whether it is an address: texts about these are those of block lists.
pub(super) fn is_address(before: &[u8]) -> bool {
    let labels = || before.split(|b| *b == b'.');
    let is_v4 = !before.is_empty() && before.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    is_v4 || labels().count() >= NIBBLES_MIN && labels().all(is_number)
}

/// Whether it begins with an address, as names do that lists are asked for.
pub(super) fn begins_with_address(before: &[u8]) -> bool {
    let labels = before.split(|b| *b == b'.');
    labels.take_while(|l| is_number(l)).count() >= PARTS
}

/// Whether it has a place of its own: texts are asked for there (RFC 8552).
pub(super) fn is_scoped(before: &[u8]) -> bool {
    before.split(|b| *b == b'.').any(is_place)
}

/// Whether its first label is a digest in hex: MD5, SHA-1 or SHA-256, by which lists are asked of files and mail addresses.
pub(super) fn is_digest(before: &[u8]) -> bool {
    let first = before.split(|b| *b == b'.').next().unwrap_or_default();
    matches!(first.len(), 32 | 40 | 64) && first.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a label looks drawn by lot: long, with digits among letters or hardly a vowel, or runs that no language has.
pub(super) fn is_drawn(label: &[u8]) -> bool {
    if label.len() < 7 {
        return false;
    }
    let is_vowel = |b: &u8| b"aeiouy".contains(b);
    let letters = label.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let vowels = label.iter().filter(|b| is_vowel(b)).count();
    let digits = label.iter().filter(|b| b.is_ascii_digit()).count();
    let (mut run, mut longest) = (0, 0);
    for b in label {
        let consonant = b.is_ascii_alphabetic() && !is_vowel(b);
        run = if consonant { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    digits * 4 >= label.len() && letters > 0
        || vowels * 4 < letters
        || longest >= 5
        || label.len() >= 16
}

/// A label such as `_domainkey`, `_acme-challenge`, or `_25`.
fn is_place(label: &[u8]) -> bool {
    label.split_first().is_some_and(|(first, rest)| {
        *first == b'_'
            && rest.len() <= PLACE_MAX
            && rest
                .split(|b| matches!(b, b'-' | b'_'))
                .all(|w| of_word(w) <= PLAIN_MAX)
    })
}

/// A part of an address: three digits of IPv4, one of IPv6.
fn is_number(label: &[u8]) -> bool {
    match label {
        [one] => one.is_ascii_hexdigit(),
        _ => label.len() <= 3 && label.iter().all(u8::is_ascii_digit),
    }
}

/// A letter of a word counts one, a digit beside it, and all of what is no word, a whole byte.
fn of_word(word: &[u8]) -> u32 {
    let runs = word.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let is_mixed = runs.clone().count() > RUNS_MAX;
    let of_run = |run: &[u8]| {
        let is_word = !is_mixed && run.iter().all(u8::is_ascii_alphabetic) && is_spoken(run);
        let bytes = u32::try_from(run.len()).unwrap_or(u32::MAX);
        bytes.saturating_mul(if is_word { 1 } else { EIGHTHS })
    };
    runs.map(of_run).fold(0, u32::saturating_add)
}

/// Whether most letters follow each other as in words.
fn is_spoken(letters: &[u8]) -> bool {
    let follows = |pair: &&[u8]| {
        let after = pair[0].checked_sub(b'a').map(usize::from);
        after.is_some_and(|a| AFTER.get(a).is_some_and(|row| row.contains(&pair[1])))
    };
    let usual = letters.windows(2).filter(follows).count();
    letters.len() < SHORT || usual * 5 >= (letters.len() - 1) * 3
}

/// Parts of an address of IPv4.
const PARTS: usize = 4;
/// Digits of an address of IPv6 that lists are asked for at least.
const NIBBLES_MIN: usize = 16;
/// What a whole byte counts.
pub(super) const EIGHTHS: u32 = 8;
/// Words of fewer letters may be anything.
const SHORT: usize = 4;
/// Runs of letters and of digits that a word has at most, as in `em1234a`.
const RUNS_MAX: usize = 3;
/// Bytes of the name of a place, and what a word of one counts at most, as `25` or `sha256`.
const PLACE_MAX: usize = 24;
const PLAIN_MAX: u32 = 4 * EIGHTHS;
/// Which letters follow each of the alphabet in nine of ten pairs of English words, and some of other languages.
const AFTER: [&[u8]; 26] = [
    b"bcdfgiklmnprstuvy",
    b"aeilorsuy",
    b"aehiklortuy",
    b"aeiorsuy",
    b"abcdefgilmnprstvwxy",
    b"aefiloru",
    b"aehilnorsu",
    b"aeiortu",
    b"abcdefgklmnoprstv",
    b"aou",
    b"aeiosu",
    b"adefilostuy",
    b"abeimopsuy",
    b"acdefgiknostuvy",
    b"abcdfgiklmnoprstuvw",
    b"aehiloprstu",
    b"u",
    b"abcdegiklmnoprstuvwy",
    b"acehiklmopqstuwy",
    b"aehilorstuwy",
    b"abcdegilmnprst",
    b"aeio",
    b"aehiors",
    b"ept",
    b"aeos",
    b"aeou",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_drawn_by_lot() {
        for word in [
            "wikipedia",
            "cloudfront",
            "example",
            "microsoft",
            "kindergarten",
        ] {
            assert!(!is_drawn(word.as_bytes()), "{word}");
        }
        for drawn in ["xkqzjvwpt", "a8f3k2m9q1", "qwrtzpsdfg"] {
            assert!(is_drawn(drawn.as_bytes()), "{drawn}");
        }
    }

    #[test]
    fn words_carry_little_and_what_is_encoded_much() {
        let of = |name: &str| weight(name.as_bytes()) / EIGHTHS;
        for name in [
            "selector1-contoso-com._domainkey.contoso",
            "autodiscover.bundesverwaltung",
            "_acme-challenge.customer-portal",
            "contoso-com.mail.protection",
            "4.3.2.1.in-addr.fabrikam.com.spf.has",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.zen",
        ] {
            assert!(of(name) < 8, "{name} {}", of(name));
        }
        for name in [
            "3fa85f6457174562b3fc2c963f66afa6",
            "paaqfkmzwxhbtvgdnrjlcy2skq5u4xwe",
            "dg7lz0ykq2-vxw81hf_rj39bnm4pts6q",
            "q7zkfw2jxm4vtb9s.hdg8rnc5lpy3ae6x",
        ] {
            assert!(of(name) >= 24, "{name} {}", of(name));
        }
        assert!(weight(&[0xe4; 40]) >= 40 * EIGHTHS);
        // what is encoded is no place because of what stands before it
        assert!(is_scoped(b"x._domainkey") && !is_scoped(b"_3fa85f6457174562b3fc"));
        assert!(is_digest(b"3fa85f6457174562b3fc2c963f66afa6.ebl"));
        assert!(!is_digest(b"3fa85f6457174562b3fc2c963f66afa6ab.ebl"));
        assert!(!is_digest(b"paaqfkmzwxhbtvgdnrjlcy2skq5u4xwe"));
        assert!(is_scoped(b"_25._tcp") && !is_scoped(b"www"));
        assert!(is_address(&b"a.0.".repeat(16)[..63]));
        assert!(begins_with_address(b"4.3.2.1.zen") && !begins_with_address(b"3.2.1.zen"));
        assert!(is_address(b"4.3.2.1") && !is_address(b"c") && !is_address(b"4.3.2.1.zen"));
    }
}
