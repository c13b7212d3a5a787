//! What changes or measures a buffer: transforms, `bsize`, `urilen`. The buffers themselves are a table.

use super::super::buffer::Buffer;
use super::super::content::{bytes_of, quoted};
use super::super::draft::Draft;
use super::super::number::Number;
use super::super::rule::{Step, Transform};
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "bsize", value: Need::Value, apply: bsize },
    Keyword { name: "urilen", value: Need::Value, apply: urilen },
    plain("dotprefix"),
    plain("strip_whitespace"),
    plain("compress_whitespace"),
    plain("url_decode"),
    plain("to_lowercase"),
    plain("to_uppercase"),
    plain("to_md5"),
    plain("to_sha1"),
    plain("to_sha256"),
    plain("header_lowercase"),
    plain("strip_pseudo_headers"),
    plain("domain"),
    plain("tld"),
    plain("from_base64"),
    Keyword { name: "pcrexform", value: Need::Value, apply: pcrexform },
    Keyword { name: "xor", value: Need::Value, apply: xor },
];

const LENGTH_MAX: u64 = u32::MAX as u64;

const fn plain(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::None,
        apply: transform,
    }
}

fn transform(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    draft.transform(match option.name.as_str() {
        "dotprefix" => Transform::Dotprefix,
        "strip_whitespace" => Transform::StripWhitespace,
        "compress_whitespace" => Transform::CompressWhitespace,
        "url_decode" => Transform::UrlDecode,
        "to_lowercase" => Transform::ToLowercase,
        "to_uppercase" => Transform::ToUppercase,
        "to_md5" => Transform::ToMd5,
        "to_sha1" => Transform::ToSha1,
        "to_sha256" => Transform::ToSha256,
        "header_lowercase" => Transform::HeaderLowercase,
        "strip_pseudo_headers" => Transform::StripPseudoHeaders,
        "domain" => Transform::Domain,
        "tld" => Transform::TopLevelDomain,
        _ => Transform::FromBase64,
    })
}

fn pcrexform(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let (_, text) = quoted(option.value.as_deref().unwrap_or_default())?;
    let text = String::from_utf8_lossy(text).into_owned();
    let limit = draft.context.settings.pcre_bytes_max;
    if text.len() > limit {
        return Err(format!("longer than {limit} bytes (pcre_bytes_max)"));
    }
    let regex = pcre2::bytes::Regex::new(&text).map_err(|e| e.to_string())?;
    if regex.captures_len() != 2 {
        return Err("needs exactly one group in parentheses".to_owned());
    }
    draft.transform(Transform::PcreXform(text))
}

fn xor(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let (_, text) = quoted(option.value.as_deref().unwrap_or_default())?;
    let key = bytes_of(&[b"|", text, b"|"].concat())?;
    if key.is_empty() || key.len() > 255 {
        return Err("is a key of 1 to 255 bytes in hexadecimal".to_owned());
    }
    draft.transform(Transform::Xor(key))
}

fn bsize(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let number = Number::parse(&option.text(), LENGTH_MAX)?;
    if !draft.has_sticky() {
        return Err("needs a sticky buffer before it".to_owned());
    }
    draft.push(Step::Length(number))
}

fn urilen(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let name = match parts.get(1).map(String::as_str) {
        None | Some("norm") => "http.uri",
        Some("raw") => "http.uri.raw",
        Some(other) => return Err(format!("`{other}` is not known here: norm or raw")),
    };
    let number = Number::parse(&parts[0], u16::MAX.into())?;
    let buffer = Buffer::sticky(name).ok_or("no such buffer")?;
    draft.push_beside(buffer, Step::Length(number))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};

    #[test]
    fn buffers_transforms_and_their_near_misses() {
        takes(
            "ip",
            &[
                "http.host; content:\"a\"; dotprefix;",
                "http.uri; content:\"a\"; to_lowercase; content:\"b\";",
                "dns.query; dotprefix; content:\".a.b\"; endswith;",
                "http.uri; content:\"a\"; http.uri; content:\"b\"; distance:0;",
                "file_data; strip_whitespace; to_lowercase; content:\"a\";",
                "http.host; dotprefix; content:\".a.b\"; nocase; endswith;",
                "http.uri; to_lowercase; content:!\"A\";",
                "http.uri; compress_whitespace; content:\"a b\";",
                "content:\"a\"; http_uri; content:\"b\"; http_uri; distance:0;",
                "http.uri; content:\"a\"; pkt_data; content:\"b\"; http_header;",
                "tls.sni; bsize:5; content:\"abcde\";",
                "http.method; content:\"GET\"; urilen:>5;",
                "http.uri; pcrexform:\"/(a+)\"; content:\"a\";",
                "http.uri; xor:\"0d0ac8ff\"; content:\"a\";",
                "http.host; content:\"a.b\";",
            ],
        );
        refuses(
            "ip",
            &[
                "http.uri;",
                "http.uri; http.method; content:\"a\";",
                "http.uri; content:\"b\"; http_header;",
                "content:\"a\"; http_uri; http_header;",
                "dotprefix; content:\"a\";",
                "http.uri; content:\"a\"; to_md5; http.host; content:\"a\";",
                "tls.cert_fingerprint; content:!\"aa:bb\";",
                "tls.cert_serial; content:\"AABB\";",
                "ja3.hash; content:!\"aabb\";",
                "http.uri; bsize:2; content:\"abc\";",
                "http.uri; bsize:<3; content:\"ab\"; offset:1;",
                "http.host; content:\"A.b\";",
                "http.host; content:\"a.b\"; nocase;",
                "http.uri; to_lowercase; content:\"A\";",
                "http.uri; to_uppercase; content:\"a\";",
                "http.uri; strip_whitespace; content:\"a b\";",
                "http.uri; compress_whitespace; content:\"a  b\";",
                "content:\"a\"; bsize:4;",
                "bsize:4;",
                "http.header.raw; content:\"a\";",
                "http.method; content:\"GET \";",
                "http.uri; content:\"a\"; tls.sni; content:\"b\";",
                "http.uri; content:\"a\"; http.stat_code; content:\"2\";",
                "flow:to_client; http.uri; content:\"a\";",
                "http.uri; pcrexform:\"/a\"; content:\"a\";",
                "http.uri; xor:\"0\"; content:\"a\";",
            ],
        );
        refuses("tls", &["http.uri; content:\"a\";", "urilen:5;"]);
        refuses("icmp", &["dns.query; content:\"a\";"]);
    }

    #[test]
    fn a_buffer_of_many_values_has_a_group_for_each_naming() {
        let groups = |options: &str| rule("ip", options).unwrap().groups.len();
        assert_eq!(
            groups("dns.query; content:\"a\"; dns.query; content:\"b\";"),
            2
        );
        assert_eq!(
            groups("http.uri; content:\"a\"; http.method; content:\"b\"; http.uri; content:\"c\";"),
            2
        );
        assert_eq!(groups("content:\"a\"; http_uri; content:\"b\";"), 2);
        assert_eq!(groups("content:\"a\"; http_uri; isdataat:3,relative;"), 1);
        assert_eq!(groups("content:\"a\"; http_uri; isdataat:3;"), 2);
    }
}
