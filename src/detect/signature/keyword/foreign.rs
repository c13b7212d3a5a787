//! Keywords of Snort, and those that Suricata has and this sensor has not: what to write instead.

/// Why a keyword is not taken; none where it is simply unknown, or known.
pub(super) fn hint(name: &str, has_value: bool) -> Option<String> {
    if has_value && name.starts_with("http_") {
        return Some(
            "options of a buffer are Snort 3: write http.header, http.uri and a content".to_owned(),
        );
    }
    let found = HINTS.iter().find(|(n, _)| *n == name);
    found.map(|(_, hint)| (*hint).to_owned())
}

#[rustfmt::skip]
const HINTS: &[(&str, &str)] = &[
    ("service", "is Snort 3: write the protocol into the header (`alert http ...`)"),
    ("bufferlen", "is Snort 3: write bsize"),
    ("raw_data", "is Snort 3: write pkt_data"),
    ("js_data", "is Snort 3: write file.data"),
    ("vba_data", "is Snort 3 and has no counterpart"),
    ("http_param", "is Snort 3: write http.uri or http.request_body"),
    ("http_raw_cookie", "is Snort's: write http.cookie"),
    ("http_version", "is Snort 3: write http.protocol"),
    ("http_true_ip", "is Snort 3: write http.header"),
    ("http_raw_body", "is Snort 3: write http.request_body or http.response_body"),
    ("http_raw_request", "is Snort 3: write http.request_line"),
    ("http_raw_status", "is Snort 3: write http.response_line"),
    ("http_encode", "is Snort's and has no counterpart"),
    ("http_trailer", "is Snort 3 and has no counterpart"),
    ("cvs", "is Snort's and has no counterpart"),
    ("resp", "is Snort's: this is a sensor and answers nothing"),
    ("react", "is Snort's: this is a sensor and answers nothing"),
    ("session", "is Snort's: sessions are in the flows"),
    ("logto", "is Snort's: alerts go where the configuration says"),
    ("activates", "is Snort's: write flowbits"),
    ("activated_by", "is Snort's: write flowbits"),
    ("count", "is Snort's: write detection_filter"),
    ("soid", "is Snort's: compiled rules are not taken"),
    ("rem", "is Snort 3: write a comment line or metadata"),
    ("appids", "is Snort's: write app-layer-protocol"),
    ("file_type", "is Snort 3: write filemagic or fileext"),
    ("file_meta", "is Snort 3 and has no counterpart"),
    ("ber_data", "is Snort 3: write byte_jump"),
    ("ber_skip", "is Snort 3: write byte_jump"),
    ("sip_method", "is Snort's: write sip.method and a content"),
    ("sip_header", "is Snort's and has no counterpart"),
    ("sip_body", "is Snort's and has no counterpart"),
    ("sip_stat_code", "is Snort's: write sip.stat_code and a content"),
    ("modbus_func", "is Snort's: write `modbus: function N`"),
    ("modbus_unit", "is Snort's: write `modbus: unit N`"),
    ("modbus_data", "is Snort's: write a content"),
    ("gtp_info", "is Snort's and has no counterpart"),
    ("gtp_type", "is Snort's and has no counterpart"),
    ("gtp_version", "is Snort's and has no counterpart"),
    ("stream_reassemble", "is Snort's: streams are always rebuilt"),
    ("sd_pattern", "is Snort's: write pcre"),
    ("regex", "is Snort 3: write pcre"),
    ("protected_content", "is Snort's and has no counterpart"),
    ("sha256", "as a hash of a content is Snort 3 and has no counterpart"),
    ("sha512", "as a hash of a content is Snort 3 and has no counterpart"),
    ("md5", "as a hash of a content is Snort 3 and has no counterpart"),
    ("geoip", "is not supported: no database of countries is read for rules; countries are columns of the flows"),
    ("iprep", "is not supported: no files of categories and reputations are read; write datarep or a variable of addresses"),
    ("lua", "is not supported: rules hold no programs"),
    ("luajit", "is not supported: rules hold no programs"),
    ("frame", "is not supported: write the sticky buffer"),
    ("detection", "is not supported"),
    ("flowvar", "is not supported: what expressions capture is not asked again"),
    ("pktvar", "is not supported: what expressions capture is not asked again"),
    ("file.magic", "is not supported: write file.data and the first bytes, or fileext"),
    ("filemagic", "is not supported: write file.data and the first bytes, or fileext"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::rule;

    #[test]
    fn snort_only_syntax_is_refused_with_a_hint() {
        for (options, hint) in [
            ("bufferlen:5;", "bsize"),
            ("service:http;", "header"),
            ("http_header:field host; content:\"a\";", "http.header"),
            ("sip_method:invite;", "sip.method"),
            ("sd_pattern:\"a\";", "pcre"),
        ] {
            let reason = rule("tcp", options).unwrap_err();
            assert!(
                reason.contains("Snort") && reason.contains(hint),
                "{reason}"
            );
        }
    }
}
